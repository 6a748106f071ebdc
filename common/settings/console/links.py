"""Settings of what a console shows beside the jobs: links to other systems, and the name of the installation."""

import re
from string import Formatter
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from common.settings.field_types import SettingsGroup

JOB_ID, TRACE_ID = "job_id", "trace_id"
_PLACES = {"trace_url": {JOB_ID, TRACE_ID}, "logs_url": {JOB_ID, TRACE_ID}, "grafana_url": set[str]()}
_COLOUR = re.compile(r"(#[0-9A-Fa-f]{6})?")
_EXAMPLE = "https://example.org/search?q={job_id}"


def checked_template(text: str, places: set[str]) -> str:
    """Return the URL with these places to fill. Raises ValueError for another text."""
    try:
        parsed = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(text) if name is not None]
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as {_EXAMPLE}: {error}") from error
    allowed = " and ".join(f"{{{name}}}" for name in sorted(places)) or "none"
    if any(name not in places or form or conversion for name, form, conversion in parsed):
        raise ValueError(f"may have these places alone, each in braces: {allowed}")
    if parts.scheme not in ("http", "https") or not host or not text.isascii() or any(c <= " " for c in text):
        raise ValueError(f"must be a URL with http:// or https://, such as {_EXAMPLE}")
    if "{" in parts.netloc or parts.username is not None:
        raise ValueError("must have neither a user nor a place in its host")
    return text


class LinkSettings(SettingsGroup):
    """Links to the systems that know more about a job, and what tells this installation from others."""

    environment_name: Annotated[str, Field(max_length=40)] = Field(
        "",
        description="API: name of the installation that a console shows, such as `prod-eu`, so that nobody takes it "
        "for another one. Empty: none.",
    )
    environment_colour: str = Field(
        "",
        description="API: colour in which a console shows that name, as `#rrggbb`. Empty: the console's own.",
    )
    trace_url: str = Field(
        "",
        description="API: URL of the trace of a job, with the places `{trace_id}` and `{job_id}`, such as "
        "`https://jaeger.example/trace/{trace_id}`. Empty: there is no link.",
    )
    logs_url: str = Field(
        "",
        description="API: URL of the log lines about a job, with the places `{job_id}` and `{trace_id}`. Empty: there "
        "is no link.",
    )
    grafana_url: str = Field("", description="API: URL of the dashboards. Empty: there is no link.")

    @field_validator("trace_url", "logs_url", "grafana_url")
    @classmethod
    def _check_link_template(cls, value: str, info: ValidationInfo) -> str:
        value = value.strip()
        return checked_template(value, _PLACES[str(info.field_name)]) if value else value

    @field_validator("environment_name")
    @classmethod
    def _check_environment_name(cls, value: str) -> str:
        value = value.strip()
        if not value.isprintable():
            raise ValueError("must have printable characters alone")
        return value

    @field_validator("environment_colour")
    @classmethod
    def _check_environment_colour(cls, value: str) -> str:
        value = value.strip()
        if not _COLOUR.fullmatch(value):
            raise ValueError("must be a colour such as #c0392b")
        return value
