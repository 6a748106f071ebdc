"""The settings: read from the environment, checked all at once, frozen."""

import os
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from common.domain.errors import StartupError
from common.settings import Environment, LogFormat, Settings, name_of

UNITS = {"seconds", "milliseconds", "days", "bytes", "characters", "numbers", "jobs", "attempts", "crashes", "connections", "partitions", "port"}


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


def refused(bare: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(StartupError) as caught:
        read(bare, **variables)
    return str(caught.value)


def test_without_any_variable_there_are_defaults(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare)
    assert settings.database_url == "postgresql://postgres@127.0.0.1:5432/postgres"
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.environment, settings.log_format) == (Environment.DEVELOPMENT, LogFormat.JSON)
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.tick_seconds) == (30, 5, 1)
    assert settings.failpoints == ""


def test_every_default_keeps_the_rules(bare: pytest.MonkeyPatch) -> None:
    """Defaults are not checked when they are used, so each is given as a variable here."""
    for field, info in Settings.model_fields.items():
        bare.setenv(name_of(field), str(getattr(info.default, "value", info.default)))
    assert Settings.from_env(os.environ) == Settings.model_construct()


def test_every_bad_value_is_listed_at_once(bare: pytest.MonkeyPatch) -> None:
    message = refused(
        bare,
        DATABASE_URL="mysql://somewhere/db",
        REDIS_URL="http://somewhere",
        JOBPROC_LOG_LEVEL="loud",
        JOBPROC_LEASE_SECONDS="soon",
        JOBPROC_TICK_SECONDS="-1",
        JOBPROC_GRACE_SECONDS="inf",
        JOBPROC_LEADER_SECONDS="nan",
        JOBPROC_MAX_NUMBERS="0",
        JOBPROC_MAX_BODY_BYTES="1.5",
        JOBPROC_ENVIRONMENT="prod",
        JOBPROC_LOG_FORMAT="",
        JOBPROC_METRICS_PORT="65536",
        JOBPROC_FAILPOINTS="nowhere=kill",
        JOBPROC_HEARTBEAT_SECOND="1",
    )
    assert message.startswith("bad settings: ")
    assert message.endswith("(docs/reference/settings.md)")
    for problem in (
        "DATABASE_URL: must begin with postgresql://",
        "REDIS_URL: must begin with redis:// or rediss://",
        "JOBPROC_LOG_LEVEL: ",
        "JOBPROC_LEASE_SECONDS: ",
        "JOBPROC_TICK_SECONDS: ",
        "JOBPROC_GRACE_SECONDS: ",
        "JOBPROC_LEADER_SECONDS: ",
        "JOBPROC_MAX_NUMBERS: ",
        "JOBPROC_MAX_BODY_BYTES: ",
        "JOBPROC_ENVIRONMENT: ",
        "JOBPROC_LOG_FORMAT: ",
        "JOBPROC_METRICS_PORT: ",
        "JOBPROC_FAILPOINTS: unknown failpoint 'nowhere=kill'",
        "JOBPROC_HEARTBEAT_SECOND: no such setting; JOBPROC_HEARTBEAT_SECONDS is near",
    ):
        assert problem in message
    assert "\n" not in message


def test_a_bad_value_is_not_repeated_in_the_message_as_it_may_hold_a_password(bare: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in refused(bare, DATABASE_URL="postgre://u:hunter2@h/db", REDIS_URL="redis//:hunter2@h")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("JOBPROC_LEASE_SECOND", "JOBPROC_LEASE_SECONDS"),
        ("JOBPROC_LEASES_SECONDS", "JOBPROC_LEASE_SECONDS"),
        ("JOBPROC_MAX_BODY_BYTE", "JOBPROC_MAX_BODY_BYTES"),
        ("JOBPROC_LOGLEVEL", "JOBPROC_LOG_LEVEL"),
        ("JOBPROC_TICK_SECONS", "JOBPROC_TICK_SECONDS"),
    ],
)
def test_a_misspelt_name_is_refused_and_the_right_one_named(bare: pytest.MonkeyPatch, name: str, near: str) -> None:
    assert f"{name}: no such setting; {near} is near" in refused(bare, **{name: "2"})


def test_other_variables_are_somebody_elses(bare: pytest.MonkeyPatch) -> None:
    read(bare, JOBPROC_TESTS_FOLDER="/tmp", JOBPROC_SOMETHING_ELSE="1", JOBPROC="x", LEASE_SECONDS="soon", MAX_NUMBERS="none", PATH="/bin")


@pytest.mark.parametrize("service", ["API", "REDIS", "POSTGRESQL", "CONTROLLER", "METRICS", "LOG"])
def test_what_kubernetes_injects_for_services_is_ignored(bare: pytest.MonkeyPatch, service: str) -> None:
    """A Service named jobproc-metrics puts JOBPROC_METRICS_PORT=tcp://... in the environment of every pod."""
    link = f"JOBPROC_{service}"
    read(
        bare,
        **{
            f"{link}_SERVICE_HOST": "10.0.0.1",
            f"{link}_SERVICE_PORT": "9090",
            f"{link}_SERVICE_PORT_HTTP": "9090",
            f"{link}_PORT": "tcp://10.0.0.1:9090",
            f"{link}_PORT_9090_TCP": "tcp://10.0.0.1:9090",
            f"{link}_PORT_9090_TCP_PROTO": "tcp",
            f"{link}_PORT_9090_TCP_PORT": "9090",
            f"{link}_PORT_9090_TCP_ADDR": "10.0.0.1",
        },
    )


def test_settings_cannot_be_changed(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare)
    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_seconds = 1  # type: ignore[misc]  # that is what must fail


def test_a_file_env_in_the_working_folder_is_read_and_the_environment_wins(bare: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DATABASE_URL=postgres://file/db\nJOBPROC_LEASE_SECONDS=60\nJOBPROC_TICK_SECONDS=3\nSOMETHING_ELSE=1\n")
    settings = read(bare, JOBPROC_TICK_SECONDS="4")
    assert settings.database_url == "postgresql://file/db"
    assert (settings.lease_seconds, settings.tick_seconds) == (60, 4)


def test_a_bad_value_in_the_file_is_listed_too(bare: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("JOBPROC_LEASE_SECONDS=long\n")
    message = refused(bare, JOBPROC_TICK_SECONDS="short")
    assert "JOBPROC_LEASE_SECONDS: " in message
    assert "JOBPROC_TICK_SECONDS: " in message


@pytest.mark.parametrize(("heartbeat", "lease", "good"), [("5", "10", True), ("5.1", "10", False), ("15", "30", True), ("30", "30", False)])
def test_a_heartbeat_takes_at_most_half_a_lease(bare: pytest.MonkeyPatch, heartbeat: str, lease: str, good: bool) -> None:
    variables = {"JOBPROC_HEARTBEAT_SECONDS": heartbeat, "JOBPROC_LEASE_SECONDS": lease}
    if good:
        assert read(bare, **variables).heartbeat_seconds == float(heartbeat)
    else:
        assert "JOBPROC_HEARTBEAT_SECONDS must be at most half of JOBPROC_LEASE_SECONDS" in refused(bare, **variables)


def test_production_refuses_failpoints_and_says_so_beside_other_broken_rules(bare: pytest.MonkeyPatch) -> None:
    message = refused(bare, JOBPROC_ENVIRONMENT="production", JOBPROC_FAILPOINTS="migrate.mid=raise", JOBPROC_HEARTBEAT_SECONDS="20")
    assert "JOBPROC_FAILPOINTS is for tests; JOBPROC_ENVIRONMENT is production" in message
    assert "JOBPROC_HEARTBEAT_SECONDS must be at most half of JOBPROC_LEASE_SECONDS" in message


def test_production_is_well_without_failpoints(bare: pytest.MonkeyPatch) -> None:
    assert read(bare, JOBPROC_ENVIRONMENT="production").environment is Environment.PRODUCTION


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_setting_says_what_it_means_in_one_sentence(field: str) -> None:
    description = Settings.model_fields[field].description or ""
    assert description.endswith(".")
    assert "\n" not in description
    assert len(description) > 20


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_quantity_carries_its_unit_in_its_name(field: str) -> None:
    kind = Settings.model_fields[field].annotation
    if kind in (int, float) or {int, float} & set(get_args(kind)):
        assert set(field.split("_")) & UNITS, f"{name_of(field)}: of what?"


def test_only_the_two_urls_have_no_prefix() -> None:
    bare_names = [name_of(field) for field in Settings.model_fields if not name_of(field).startswith("JOBPROC_")]
    assert bare_names == ["DATABASE_URL", "REDIS_URL"]


@pytest.mark.parametrize(
    "origins", ["app.example", "https://app.example/", "https://app.example/x", "https://*.example", "ftp://a", "https://a b", "https://a;*"]
)
def test_what_is_no_origin_is_refused(bare: pytest.MonkeyPatch, origins: str) -> None:
    """A browser sends scheme, host and port: anything else would never fit, and nobody would know why."""
    assert "JOBPROC_CORS_ORIGINS: each must be scheme://host" in refused(bare, JOBPROC_CORS_ORIGINS=f"https://good.example,{origins}")


def test_origins_are_listed_by_commas(bare: pytest.MonkeyPatch) -> None:
    assert read(bare).origins == []
    assert read(bare, JOBPROC_CORS_ORIGINS=" https://a.example , http://127.0.0.1:3000,").origins == ["https://a.example", "http://127.0.0.1:3000"]
    assert read(bare, JOBPROC_CORS_ORIGINS="*").origins == ["*"]


def test_the_key_of_cursors_is_not_logged(bare: pytest.MonkeyPatch) -> None:
    assert read(bare, JOBPROC_CURSOR_KEY="hunter2").masked()["cursor_key"] == "***"
