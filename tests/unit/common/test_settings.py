"""The settings: read from the environment, validated together, frozen."""

import os
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from common.domain.errors import StartupError
from common.settings import PREFIX, Environment, LogFormat, Settings, name_of
from common.settings.renamed import RENAMED

UNITS = {
    *(
        "seconds",
        "sessions",
        "milliseconds",
        "hours",
        "days",
        "bytes",
        "characters",
        "numbers",
        "jobs",
        "attempts",
        "crashes",
        "port",
    ),
    *("connections", "partitions", "clients", "submissions", "concurrency", "limit", "percent", "fields", "requests"),
    *(
        "bodies",
        "containers",
        "claims",
        "previews",
        "lines",
        "lists",
        "keys",
        "schedules",
        "tenants",
        "authentications",
    ),
    *("dependencies", "webhooks", "failures", "changes", "inputs"),
}


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


def refused(bare: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(StartupError) as caught:
        read(bare, **variables)
    return str(caught.value)


def test_settings_have_defaults_without_any_variable(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare)
    assert settings.database_url == "postgresql://postgres@127.0.0.1:5432/postgres"
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.environment, settings.log_format) == (Environment.DEVELOPMENT, LogFormat.JSON)
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.tick_seconds) == (30, 5, 1)
    assert settings.failpoints == ""


def test_every_default_is_valid(bare: pytest.MonkeyPatch) -> None:
    """Pydantic does not validate defaults, so each is given as a variable here."""
    for field, info in Settings.model_fields.items():
        bare.setenv(name_of(field), str(getattr(info.default, "value", info.default)))
    assert Settings.from_env(os.environ) == Settings.model_construct()


def test_all_invalid_values_are_listed_in_one_message(bare: pytest.MonkeyPatch) -> None:
    message = refused(
        bare,
        DATABASE_URL="mysql://somewhere/db",
        REDIS_URL="http://somewhere",
        JOBPROC_LOG_LEVEL="loud",
        JOBPROC_LEASE_SECONDS="soon",
        JOBPROC_TICK_SECONDS="-1",
        JOBPROC_SHUTDOWN_GRACE_SECONDS="inf",
        JOBPROC_LEADER_LEASE_SECONDS="nan",
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
        "JOBPROC_SHUTDOWN_GRACE_SECONDS: ",
        "JOBPROC_LEADER_LEASE_SECONDS: ",
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


def test_the_message_does_not_repeat_an_invalid_value_that_may_hold_a_password(bare: pytest.MonkeyPatch) -> None:
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
def test_a_misspelt_name_is_refused_with_the_right_one(bare: pytest.MonkeyPatch, name: str, near: str) -> None:
    assert f"{name}: no such setting; {near} is near" in refused(bare, **{name: "2"})


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_stops_the_start_with_a_sentence_that_names_the_new_one(bare: pytest.MonkeyPatch, old: str) -> None:
    message = refused(bare, **{PREFIX + old: "2"})
    assert message.startswith(f"bad settings: {PREFIX}{old}: is called {PREFIX}{RENAMED[old]} now (")


def test_the_new_name_of_every_renamed_setting_exists_and_the_old_one_does_not() -> None:
    names = {name_of(field).removeprefix(PREFIX) for field in Settings.model_fields}
    assert set(RENAMED.values()) <= names
    assert not names & RENAMED.keys()


def test_other_variables_are_ignored(bare: pytest.MonkeyPatch) -> None:
    read(
        bare,
        JOBPROC_TESTS_FOLDER="/tmp",
        JOBPROC_SOMETHING_ELSE="1",
        JOBPROC="x",
        LEASE_SECONDS="soon",
        MAX_NUMBERS="none",
        PATH="/bin",
    )


@pytest.mark.parametrize("service", ["API", "REDIS", "POSTGRESQL", "CONTROLLER", "METRICS", "LOG"])
def test_variables_that_kubernetes_injects_for_services_are_ignored(bare: pytest.MonkeyPatch, service: str) -> None:
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


def test_settings_are_frozen(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare)
    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_seconds = 1  # type: ignore[misc]  # the assignment must fail


def test_a_file_env_in_the_working_folder_is_read_but_the_environment_wins(bare: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "DATABASE_URL=postgres://file/db\nJOBPROC_LEASE_SECONDS=60\nJOBPROC_TICK_SECONDS=3\nSOMETHING_ELSE=1\n"
    )
    settings = read(bare, JOBPROC_TICK_SECONDS="4")
    assert settings.database_url == "postgresql://file/db"
    assert (settings.lease_seconds, settings.tick_seconds) == (60, 4)


def test_an_invalid_value_in_the_file_is_listed_too(bare: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("JOBPROC_LEASE_SECONDS=long\n")
    message = refused(bare, JOBPROC_TICK_SECONDS="short")
    assert "JOBPROC_LEASE_SECONDS: " in message
    assert "JOBPROC_TICK_SECONDS: " in message


@pytest.mark.parametrize(
    ("heartbeat", "lease", "good"), [("5", "10", True), ("5.1", "10", False), ("15", "30", True), ("30", "30", False)]
)
def test_a_heartbeat_takes_at_most_half_a_lease(
    bare: pytest.MonkeyPatch, heartbeat: str, lease: str, good: bool
) -> None:
    variables = {"JOBPROC_HEARTBEAT_SECONDS": heartbeat, "JOBPROC_LEASE_SECONDS": lease}
    if good:
        assert read(bare, **variables).heartbeat_seconds == float(heartbeat)
    else:
        assert "JOBPROC_HEARTBEAT_SECONDS must be at most half of JOBPROC_LEASE_SECONDS" in refused(bare, **variables)


def test_the_keepalive_drain_is_at_most_the_shutdown_grace(bare: pytest.MonkeyPatch) -> None:
    variables = {"JOBPROC_KEEPALIVE_DRAIN_SECONDS": "5", "JOBPROC_SHUTDOWN_GRACE_SECONDS": "4"}
    rule = "JOBPROC_KEEPALIVE_DRAIN_SECONDS must be at most JOBPROC_SHUTDOWN_GRACE_SECONDS"
    assert rule in refused(bare, **variables)


def test_production_refuses_failpoints_and_lists_that_with_other_problems(bare: pytest.MonkeyPatch) -> None:
    message = refused(
        bare, JOBPROC_ENVIRONMENT="production", JOBPROC_FAILPOINTS="migrate.mid=raise", JOBPROC_HEARTBEAT_SECONDS="20"
    )
    assert "JOBPROC_FAILPOINTS is for tests; JOBPROC_ENVIRONMENT is production" in message
    assert "JOBPROC_HEARTBEAT_SECONDS must be at most half of JOBPROC_LEASE_SECONDS" in message


def test_production_accepts_settings_without_failpoints(bare: pytest.MonkeyPatch) -> None:
    assert read(bare, JOBPROC_ENVIRONMENT="production").environment is Environment.PRODUCTION


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_setting_has_a_description_on_one_line(field: str) -> None:
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
    unprefixed = [name_of(field) for field in Settings.model_fields if not name_of(field).startswith("JOBPROC_")]
    assert unprefixed == ["DATABASE_URL", "REDIS_URL"]


@pytest.mark.parametrize(
    "origins",
    [
        "app.example",
        "https://app.example/",
        "https://app.example/x",
        "https://*.example",
        "ftp://a",
        "https://a b",
        "https://a;*",
    ],
)
def test_an_invalid_origin_is_refused(bare: pytest.MonkeyPatch, origins: str) -> None:
    """A browser sends scheme, host and port: any other form would never match, without an error."""
    assert "JOBPROC_CORS_ORIGINS: each must be scheme://host" in refused(
        bare, JOBPROC_CORS_ORIGINS=f"https://good.example,{origins}"
    )


def test_origins_are_separated_by_commas(bare: pytest.MonkeyPatch) -> None:
    assert read(bare).origins == []
    assert read(bare, JOBPROC_CORS_ORIGINS=" https://a.example , http://127.0.0.1:3000,").origins == [
        "https://a.example",
        "http://127.0.0.1:3000",
    ]
    assert read(bare, JOBPROC_CORS_ORIGINS="*").origins == ["*"]


@pytest.mark.parametrize(
    "hosts", ["https://jobs.example", "jobs.example:8000", "jobs.example/x", "a.*.example", "jobs..example", "a b"]
)
def test_an_invalid_host_is_refused(bare: pytest.MonkeyPatch, hosts: str) -> None:
    assert "JOBPROC_ALLOWED_HOSTS: each must be a host name without scheme and port" in refused(
        bare, JOBPROC_ALLOWED_HOSTS=f"good.example,{hosts}"
    )


def test_hosts_are_separated_by_commas_and_compared_in_lower_case(bare: pytest.MonkeyPatch) -> None:
    assert read(bare).hosts == []
    assert read(bare, JOBPROC_ALLOWED_HOSTS=" Jobs.example , *.svc.example,").hosts == ["jobs.example", "*.svc.example"]
    assert read(bare, JOBPROC_ALLOWED_HOSTS="*").hosts == ["*"]


def test_the_cursor_key_is_not_logged(bare: pytest.MonkeyPatch) -> None:
    assert read(bare, JOBPROC_CURSOR_KEY="hunter2").masked()["cursor_key"] == "***"


@pytest.mark.parametrize("proxies", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "10.0.0.1:80"])
def test_an_invalid_proxy_is_refused(bare: pytest.MonkeyPatch, proxies: str) -> None:
    assert "JOBPROC_TRUSTED_PROXIES: each must be an address or a network such as 10.0.0.0/8" in refused(
        bare, JOBPROC_TRUSTED_PROXIES=f"127.0.0.1, {proxies}"
    )
    assert read(bare, JOBPROC_TRUSTED_PROXIES=" 127.0.0.1, fd00::/8,").trusted_proxies == " 127.0.0.1, fd00::/8,"
