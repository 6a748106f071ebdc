"""REDIS_URL: the forms that every process accepts, and the sentences for all others."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from kombu import Connection
from redis.connection import parse_url

from common.broker.celery_settings import celery_settings
from common.domain.errors import StartupError
from common.server_urls.redis_server import RedisServer
from common.settings import Settings

MARK = "s3cr3t"
#: By URL: the arguments of AUTH.
LOGINS = {
    "redis://:p@h": ("p",),
    "redis://u@[::1]/": ("u", ""),
    f"rediss://u:{quote(' @:/?#%+', safe='')}@h:6380/1": ("u", " @:/?#%+"),
}


def read(bare: pytest.MonkeyPatch, url: str) -> Settings:
    bare.setenv("REDIS_URL", url)
    return Settings.from_env(os.environ)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://h", RedisServer("h", 6379, 0, None, None, None)),
        ("REDIS://h:6380/2\n", RedisServer("h", 6380, 2, None, None, None)),
        ("redis://:p@h", RedisServer("h", 6379, 0, None, "p", None)),
        ("redis://u@[::1]/", RedisServer("::1", 6379, 0, "u", None, None)),
        (
            f"rediss://u:{quote(' @:/?#%+', safe='')}@h:6380/1",
            RedisServer("h", 6380, 1, "u", " @:/?#%+", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            RedisServer("h", 6379, 0, None, None, {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ),
    ],
)
def test_celery_and_redis_py_connect_to_the_same_server(
    bare: pytest.MonkeyPatch, url: str, server: RedisServer
) -> None:
    settings = read(bare, url)
    assert settings.redis_server == server
    ours = parse_url(settings.redis_server.url)  # type: ignore[no-untyped-call]  # redis-py has no types for it
    assert (ours.get("host"), ours.get("port"), ours.get("db")) == (server.host, server.port, server.database)
    assert settings.current_redis_login() == (server.username, server.password)
    options = celery_settings(settings)
    celery = Connection(
        options["broker_url"], ssl=options["broker_use_ssl"], transport="worker.celery_adapter.transport:Transport"
    )
    assert (celery.hostname, celery.port, int(celery.virtual_host)) == (server.host, server.port, server.database)
    login = options["broker_transport_options"]["login"]
    assert (login.get_credentials() if login else None) == LOGINS.get(url)
    assert (celery.ssl or None) == server.tls


@pytest.mark.parametrize("url", ["", "h:6379", "http://h", "amqp://h", "redis", "unix:///run/redis"])
def test_another_scheme_is_refused(bare: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(StartupError, match="REDIS_URL: must begin with redis:// or rediss://"):
        read(bare, url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://", "names no host"),
        ("redis://a,b", "must name one host"),
        ("redis://h/jobs", "the path must be the number of the database"),
        ("redis://h:99999", "a number up to 65535"),
        ("redis://h?db=1", "db is not supported: write the number of the database as the path"),
        (f"redis://h?password={MARK}", "password is not supported: write it before the @"),
        ("redis://h?socket_timeout=900", "socket_timeout is not supported: set JOBPROC_REDIS_TIMEOUT_SECONDS"),
        ("redis://h?protocol=2", "protocol is no known parameter"),
        ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs needs rediss://"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs must be required or optional or none"),
        ("rediss://h?ssl_ca_cert=/x", "ssl_ca_cert is no known parameter; ssl_ca_certs is near"),
        ("rediss://h?ssl_ca_certs=/nowhere", "ssl_ca_certs names a file that cannot be read"),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true", "needs ssl_cert_reqs=required"),
        (f"redis://:{MARK}@{MARK}@h", "percent-encoded as %40"),
        (f"redis://:{MARK}/{MARK}@h", "percent-encoded as %40 %2F %3F"),
        (f"redis://:{MARK}%{MARK}@h", "must be written %25"),
        (f"redis://:{MARK}\n@h", "has white space or a control character inside"),
    ],
)
def test_what_one_client_would_read_differently_is_refused(bare: pytest.MonkeyPatch, url: str, sentence: str) -> None:
    with pytest.raises(StartupError) as refusal:
        read(bare, url)
    assert sentence in str(refusal.value)
    assert "REDIS_URL: " in str(refusal.value)
    assert MARK not in str(refusal.value)


def test_files_of_certificates_reach_both_clients(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.touch()
    settings = read(bare, f"rediss://h?ssl_ca_certs={file}")
    assert settings.redis_server.tls == celery_settings(settings)["broker_use_ssl"]
    assert settings.redis_server.tls == {
        "ssl_ca_certs": str(file),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }
