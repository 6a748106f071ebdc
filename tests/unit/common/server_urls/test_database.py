"""DATABASE_URL: the forms that every process accepts, and the sentences for all others."""

import ctypes
import itertools
import os
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from common.domain.errors import StartupError
from common.server_urls.database import DatabaseServer, normalized_database_url
from common.server_urls.parameters import DATABASE_PARAMETERS
from common.settings import Settings

MARK = "s3cr3t"


def parse(url: str, **environ: str) -> DatabaseServer:
    return DatabaseServer.parse(normalized_database_url(url), environ)


@pytest.mark.parametrize(
    ("given_url", "plain"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql://u:p@h:5432/db"),
        ("postgres://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql://u:p@h/db\n", "postgresql://u:p@h/db"),
        ("\t postgresql://u:p@h/db\r\n", "postgresql://u:p@h/db"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h/db?sslmode=require", "postgresql://u:p@h/db?sslmode=require"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgres:///db?host=/run/postgresql&user=u", "postgresql:///db?host=/run/postgresql&user=u"),
        ("postgresql+psycopg2:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgresql://%2Frun%2Fpostgresql/db", "postgresql://%2Frun%2Fpostgresql/db"),
        ("postgresql://u:p%40ss%2Fword@[::1]:5432/db", "postgresql://u:p%40ss%2Fword@[::1]:5432/db"),
        ("POSTGRES://u:p@h/db", "postgresql://u:p@h/db"),
        ("Postgres:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        (
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
        ),
    ],
)
def test_every_usual_form_is_read_as_libpq_reads_it(bare: pytest.MonkeyPatch, given_url: str, plain: str) -> None:
    bare.setenv("DATABASE_URL", given_url)
    url = Settings.from_env(os.environ).database_url
    assert url == plain
    ours, libpq = DatabaseServer.parse(url, {}), parse_dsn(url)
    assert ",".join(host for host, _ in ours.hosts) == libpq["host"]
    assert (ours.user, ours.password, ours.database) == (libpq.get("user"), libpq.get("password"), libpq["dbname"])


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://h/db", [("h", 5432)]),
        ("postgresql://a,b:1,[::1]:2,[fe80::1%25eth0]/db", [("a", 5432), ("b", 1), ("::1", 2), ("fe80::1%eth0", 5432)]),
        ("postgresql://a,b/db?port=6432", [("a", 6432), ("b", 6432)]),
        ("postgresql:///db?host=a,::1,/run/pg&port=1,,3", [("a", 1), ("::1", 5432), ("/run/pg", 3)]),
        ("postgresql://%2Frun%2Fpg:6432/db", [("/run/pg", 6432)]),
    ],
)
def test_hosts_have_their_ports(url: str, hosts: list[tuple[str, int]]) -> None:
    server = parse(url)
    assert list(server.hosts) == hosts
    assert server.target_session_attrs == ("read-write" if len(hosts) > 1 else "any")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
@settings(deadline=None, max_examples=200)
def test_a_percent_encoded_user_or_password_may_have_any_characters(text: str) -> None:
    encoded = quote(text, safe="")
    for url in (f"postgresql://{encoded}:{encoded}@h/db", f"postgresql://h/db?user={encoded}&password={encoded}"):
        server = parse(url)
        assert (server.user, server.password) == (text, text)
        assert parse_dsn(url)["password"] == text, "libpq reads the same"


def test_a_plus_is_a_plus_and_no_space() -> None:
    assert parse("postgresql://h/db?user=a+b").user == "a+b"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db",
        "mysql://h/db",
        "sqlite:///db",
        "postgresql",
        "postgresqls://h/db",
        "postgresql:db",
        "postgresql:/db",
        '"postgresql://h/db"',
    ],
)
def test_another_scheme_is_refused(bare: pytest.MonkeyPatch, url: str) -> None:
    bare.setenv("DATABASE_URL", url)
    with pytest.raises(StartupError, match="DATABASE_URL: must begin with postgresql://"):
        Settings.from_env(os.environ)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("h/db?connect_timeout=0", "connect_timeout must be a number of seconds, at least 1"),
        ("h/db?sslmode=no-verify", "sslmode must be disable or allow or prefer"),
        ("h/db?channel_binding=require", "channel_binding must be disable or prefer"),
        ("h/db?gssencmode=require", "gssencmode must be disable or prefer"),
        ("h/db?target_session_attrs=standby", "target_session_attrs must be any or read-write or primary"),
        ("h/db?keepalives_idle=soon", "keepalives_idle must be a number of seconds"),
        ("h/db?passfile=/p", "passfile is not supported: write the password in the URL, or in PGPASSWORD"),
        ("h/db?service=x", "service is not supported: write the parameters of the service in the URL"),
        ("h/db?hostaddr=1.1.1.1", "hostaddr is not supported: write the address as the host"),
        ("h/db?pgbouncer=true", "pgbouncer is not supported: set JOBPROC_DATABASE_POOLER=transaction"),
        ("h/db?conect_timeout=3", "conect_timeout is no known parameter; connect_timeout is near"),
        ("h/db?statement_cache_size=0", "statement_cache_size is no known parameter"),
        ("h/db?sslrootcert=/nowhere", "sslrootcert names a file that cannot be read"),
        ("h/db?sslmode=verify-full", "sslmode=verify-full needs sslrootcert"),
        ("h/db?sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
        ("h/db?sslmode=require&sslmode=disable", "sslmode is given twice"),
        ("h/db?host=other", "host is given twice"),
        ("h/db?sslmode", "must be name=value"),
        ("/db", "names no host"),
        ("h,/db", "a host is empty"),
        ("a,b/db?port=1,2,3", "has 2 hosts and 3 ports"),
        ("h/db?host=h:5432", "is given twice"),
        ("/db?host=h:5432", "write the port parameter"),
        ("h:65536/db", "a number up to 65535"),
        ("h:0/db", "a port must be a number from 1 to 65535"),
        ("/db?host=/run/.s.PGSQL.5432", "a socket is named by its folder"),
        ("h\n:5432\n/db", "has white space or a control character inside"),
        (f"u:{MARK}@{MARK}@h/db", "percent-encoded as %40"),
        (f"u:{MARK}/{MARK}@h/db", "has an @ behind a /"),
        (f"u:12/{MARK}@h/db", "has an @ behind a /"),
        (f"u:12?{MARK}=x@h/db", "or a ?; in a user, a password or a parameter"),
        (f"u:{MARK}#{MARK}@h/db", "percent-encoded as %23"),
        (f"u:{MARK}%{MARK}@h/db", "must be written %25"),
        (f"u:{MARK} {MARK}@h/db", "has white space"),
        (f"u:{MARK}?{MARK}@h/db", "percent-encoded as %40 %2F %3F"),
    ],
)
def test_what_one_of_the_drivers_would_read_differently_is_refused(
    bare: pytest.MonkeyPatch, rest: str, sentence: str
) -> None:
    bare.setenv("DATABASE_URL", f"postgresql://{rest}")
    bare.setenv("HOME", "/nowhere")
    with pytest.raises(StartupError) as refusal:
        Settings.from_env(os.environ)
    assert "DATABASE_URL: " in str(refusal.value)
    assert sentence in str(refusal.value)
    assert MARK not in str(refusal.value)


def test_variables_of_libpq_are_defaults_of_the_url() -> None:
    server = parse(
        "postgresql://h/db",
        PGHOST="other",
        PGPORT="6432",
        PGUSER="u\n",
        PGPASSWORD=" p w \r\n",
        PGSSLMODE="require",
        PGCONNECT_TIMEOUT="3",
        PGSERVICE="",
    )
    assert server.hosts == (("h", 6432),)
    assert (server.user, server.password) == ("u", " p w ")
    assert server.parameters == {"sslmode": "require", "connect_timeout": "3"}


@pytest.mark.parametrize("variable", ["PGSERVICE", "PGHOSTADDR", "PGPASSFILE", "PGREQUIREAUTH"])
def test_variables_that_only_one_driver_reads_are_refused(variable: str) -> None:
    with pytest.raises(ValueError, match=f"the variable {variable} is not supported"):
        parse("postgresql://h/db", **{variable: "x"})


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    url = f"postgresql://h/db?sslkey={key}"
    assert parse(url).parameters["sslkey"] == str(key)
    key.chmod(0o644)
    with pytest.raises(ValueError, match="sslkey names a file that others may read"):
        parse(url)


class _Option(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")),
        ("dispsize", ctypes.c_int),
    )


def _libpq_parameters() -> dict[str, str]:
    """Return the parameters of psycopg2's libpq, with their variables."""
    (library,) = Path(psycopg2.__file__).parents[1].glob("psycopg2_binary.libs/libpq-*")
    read = ctypes.CDLL(str(library)).PQconndefaults
    read.restype = ctypes.POINTER(_Option)
    options = read()
    known = itertools.takewhile(lambda option: option.keyword, (options[number] for number in itertools.count()))
    return {option.keyword.decode(): (option.envvar or b"").decode() for option in known}


def test_every_parameter_of_libpq_is_in_the_table_with_its_variable() -> None:
    ours = {parameter.name: parameter.variable for parameter in DATABASE_PARAMETERS.values()}
    libpq = _libpq_parameters()
    assert len(libpq) > 30
    assert libpq.items() <= ours.items()
    beyond = {name for name in ours.keys() - libpq.keys() if not DATABASE_PARAMETERS[name].refused}
    assert beyond == set(), "libpq would refuse them"
