"""Secrets from files: which variables, which sentences, and what a changed file does. No secret is ever shown."""

import os
import re
from pathlib import Path

import pytest

from common.broker.celery_settings import celery_settings
from common.broker.redis_client import redis_login
from common.domain.errors import StartupError
from common.settings import Settings, name_of, secret_variables
from common.settings.field_types import is_secret

CANARY = "c4n4ry"
VALUES = {
    "database_url": f"postgresql://u:{CANARY}@h/db",
    "redis_url": f"redis://u:{CANARY}@h:6379/0",
    "api_key": CANARY,
    "webhook_encryption_key": f"{CANARY}{CANARY:0<32}",
    "first_api_key": f"jp_{CANARY:0<12}_{CANARY:0<43}",
}
SECRETS = [field for field, info in Settings.model_fields.items() if is_secret(info)]


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


def refused(bare: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(StartupError) as caught:
        read(bare, **variables)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def file(content: str | bytes, name: str = "secret") -> str:
    path = Path(name).absolute()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_every_setting_whose_name_is_that_of_a_secret_is_one() -> None:
    named = {field for field in Settings.model_fields if re.search(r"password|secret|token|_key$|_url$", field)}
    others = {
        "api_url",
        *("trace_url", "logs_url", "grafana_url"),
        "oidc_jwks_url",
        "oidc_redirect_url",
        "oidc_max_token_seconds",
        "max_requests_per_minute_per_key",
    }
    assert named - others == set(SECRETS)
    assert {name_of(field) for field in SECRETS} | {"PGPASSWORD"} == secret_variables()


@pytest.mark.parametrize("field", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_each_secret_is_read_from_its_file_without_the_line_break_at_its_end(
    bare: pytest.MonkeyPatch, field: str, end: str
) -> None:
    value = VALUES.get(field, f" {CANARY}é ")
    settings = read(bare, **{f"{name_of(field)}_FILE": file(value + end)})
    assert getattr(settings, field) == value
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings.masked())


@pytest.mark.parametrize("field", SECRETS)
def test_a_secret_that_is_given_twice_is_refused(bare: pytest.MonkeyPatch, field: str) -> None:
    name = name_of(field)
    message = refused(bare, **{name: VALUES.get(field, CANARY), f"{name}_FILE": file(VALUES.get(field, CANARY))})
    assert f"{name}_FILE and {name} are both given; remove one of them" in message


def test_an_empty_variable_is_none_beside_a_file(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare, DATABASE_URL="", DATABASE_URL_FILE=file(VALUES["database_url"]))
    assert settings.database_url == VALUES["database_url"]


def test_the_variable_of_libpq_and_a_file_of_the_password_are_too_many(bare: pytest.MonkeyPatch) -> None:
    message = refused(bare, PGPASSWORD=CANARY, JOBPROC_DATABASE_PASSWORD_FILE=file(CANARY))
    assert "JOBPROC_DATABASE_PASSWORD_FILE and PGPASSWORD are both given" in message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "DATABASE_URL_FILE names a file that cannot be read: No such file or directory"),
        ("", "DATABASE_URL_FILE names an empty file"),
        ("\n", "DATABASE_URL_FILE names an empty file"),
        (f"mysql://u:{CANARY}@h", "DATABASE_URL_FILE: must begin with postgresql://"),
        (f"postgresql://u:{CANARY}\0@h", "DATABASE_URL_FILE names a file with a NUL character"),
        (
            f"postgresql://{CANARY}\xff".encode("latin-1"),
            "DATABASE_URL_FILE names a file that cannot be read: it is no",
        ),
        ("x" * 70_000, "DATABASE_URL_FILE names a file of more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_sentence(
    bare: pytest.MonkeyPatch, content: str | bytes | None, sentence: str
) -> None:
    path = "/nowhere" if content is None else file(content)
    assert sentence in refused(bare, DATABASE_URL_FILE=path)


def test_a_secret_in_the_place_of_the_name_of_its_file_is_not_shown(bare: pytest.MonkeyPatch) -> None:
    refused(bare, DATABASE_URL_FILE=VALUES["database_url"], JOBPROC_CURSOR_KEY_FILE=CANARY)


def test_a_folder_is_no_file_of_a_secret(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = refused(bare, JOBPROC_CURSOR_KEY_FILE=str(tmp_path))
    assert "JOBPROC_CURSOR_KEY_FILE names a file that cannot be read: Is a directory" in message


def test_the_file_env_may_name_the_file_of_a_secret(bare: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"REDIS_URL_FILE={file(VALUES['redis_url'])}\n")
    assert read(bare).redis_url == VALUES["redis_url"]


def test_another_setting_has_no_file(bare: pytest.MonkeyPatch) -> None:
    assert "no such setting; JOBPROC_LEASE_SECONDS is near" in refused(bare, JOBPROC_LEASE_SECONDS_FILE="/x")


def test_a_password_of_its_own_completes_a_url(bare: pytest.MonkeyPatch) -> None:
    settings = read(
        bare,
        DATABASE_URL="postgresql://u@h/db",
        REDIS_URL="redis://u@h",
        JOBPROC_DATABASE_PASSWORD_FILE=file("a @:/\n"),
        JOBPROC_REDIS_PASSWORD=CANARY,
    )
    assert (settings.database_server.user, settings.database_server.password) == ("u", "a @:/")
    assert settings.current_redis_login() == ("u", CANARY)


def test_the_password_of_libpq_is_read_before_it_is_removed(bare: pytest.MonkeyPatch) -> None:
    settings = read(bare, DATABASE_URL="postgresql://u@h/db", PGPASSWORD=CANARY)
    bare.delenv("PGPASSWORD")
    assert settings.database_server.password == CANARY


def test_user_and_password_of_a_changed_file_count_and_the_rest_stays(bare: pytest.MonkeyPatch) -> None:
    path, other = file(VALUES["database_url"]), file(VALUES["redis_url"], "redis")
    settings = read(bare, DATABASE_URL_FILE=path, REDIS_URL_FILE=other)
    Path(path).write_text("postgresql://v:new@elsewhere/other\n")
    Path(other).write_text("redis://v:new@elsewhere\n")
    server = settings.current_database_server()
    assert (server.user, server.password, server.database, server.hosts) == ("v", "new", "db", (("h", 5432),))
    assert settings.current_redis_login() == ("v", "new")
    login = redis_login(settings)
    assert login is not None
    assert login.get_credentials() == ("v", "new")
    assert settings.redis_server.url == "redis://h:6379/0"


@pytest.mark.parametrize("content", ["", "half of a u", None])
def test_a_changed_file_that_cannot_be_used_is_an_error_without_its_content(
    bare: pytest.MonkeyPatch, content: str | None
) -> None:
    path = file(VALUES["database_url"])
    settings = read(bare, DATABASE_URL_FILE=path)
    Path(path).unlink()
    if content is not None:
        Path(path).write_text(content)
    with pytest.raises(ValueError, match="DATABASE_URL_FILE") as caught:
        settings.current_database_server()
    assert "half" not in str(caught.value)


def test_celery_is_told_no_password(bare: pytest.MonkeyPatch) -> None:
    assert CANARY not in repr(celery_settings(read(bare, REDIS_URL=VALUES["redis_url"])))
