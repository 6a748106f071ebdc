"""Settings of what a console shows beside the jobs."""

import pytest
from pydantic import ValidationError

from common.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("trace_url", "https://jaeger.example/{trace}", "{job_id} and {trace_id}"),
        ("trace_url", "https://jaeger.example/{trace_id", "must be a URL"),
        ("trace_url", "https://jaeger.example/{trace_id!r}", "{job_id} and {trace_id}"),
        ("trace_url", "https://jaeger.example/{}", "{job_id} and {trace_id}"),
        ("logs_url", "logs.example/{job_id}", "http:// or https://"),
        ("logs_url", "javascript:alert({job_id})", "http:// or https://"),
        ("logs_url", "https://{job_id}.example/", "host"),
        ("logs_url", "https://ada:secret@logs.example/{job_id}", "user"),
        ("logs_url", "https://logs.example/a b", "http:// or https://"),
        ("grafana_url", "https://grafana.example/{job_id}", "none"),
        ("environment_name", "prod\u0007", "printable"),
        ("environment_name", "p" * 41, "40"),
        ("environment_colour", "red", "#c0392b"),
        ("environment_colour", "#c0392", "#c0392b"),
    ],
)
def test_an_invalid_setting_is_refused_with_what_was_expected(name: str, value: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason.replace("{", r"\{").replace("}", r"\}")):
        Settings.model_validate({name: value})


def test_links_have_places_and_a_name_has_a_colour() -> None:
    settings = Settings(
        trace_url=" https://jaeger.example/trace/{trace_id}?job={job_id} ",
        logs_url="http://127.0.0.1:3100/?q=%7Bjob%3D{job_id}%7D",
        grafana_url="https://grafana.example/d/overview",
        environment_name=" prod-eu ",
        environment_colour="#C0392b",
    )
    assert settings.trace_url == "https://jaeger.example/trace/{trace_id}?job={job_id}"
    assert (settings.environment_name, settings.environment_colour) == ("prod-eu", "#C0392b")
