"""GET /console/settings: the name of this installation, and its links to other systems."""

from pydantic import BaseModel, Field

from common.settings import Settings


class EnvironmentView(BaseModel):
    """The name by which people know this installation."""

    name: str | None = Field(description="JOBPROC_ENVIRONMENT_NAME. Null: it has none.", examples=["prod-eu"])
    colour: str | None = Field(description="JOBPROC_ENVIRONMENT_COLOUR. Null: it has none.", examples=["#c0392b"])


class LinkTemplatesView(BaseModel):
    """URLs of other systems, with places in braces."""

    trace: str | None = Field(
        description="The trace of a job, with the places `{trace_id}` and `{job_id}`. Null: there is none.",
        examples=["https://jaeger.example/trace/{trace_id}"],
    )
    logs: str | None = Field(
        description="The log lines about a job, with the places `{job_id}` and `{trace_id}`. Null: there are none.",
        examples=["https://logs.example/search?q={job_id}"],
    )
    grafana: str | None = Field(
        description="The dashboards. Null: there are none.", examples=["https://grafana.example/dashboards"]
    )


class ConsoleSettingsView(BaseModel):
    """The settings of a console: the name of the installation, and its links to other systems."""

    environment: EnvironmentView
    links: LinkTemplatesView
    version: str = Field(description="The version of the API.", examples=["0.1.0"])


def console_settings_view(settings: Settings, version: str) -> ConsoleSettingsView:
    """Return the view of the settings of an API of this version."""
    return ConsoleSettingsView(
        environment=EnvironmentView(name=settings.environment_name or None, colour=settings.environment_colour or None),
        links=LinkTemplatesView(
            trace=settings.trace_url or None, logs=settings.logs_url or None, grafana=settings.grafana_url or None
        ),
        version=version,
    )
