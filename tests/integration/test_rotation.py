"""Passwords of PostgreSQL and Redis change while jobs run: every job ends, and no process is restarted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
import redis
from rig.background import BackgroundThread
from rig.settings import ROLE_PREFIX
from rig.system import Database, System, until

from tools.servers import Postgres, Redis

PARTS = ("api", "worker", "controller")
FIRST = "secret"  # of the rig, for roles and users alike
JOBS_BETWEEN = 30  # accepted before each change


class Submitter(BackgroundThread):
    """Submits one job after the other; repeats a submission that was not accepted under the same key."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self._url = str(system.client.base_url)
        self.accepted: list[str] = []

    def wait_for_more(self) -> None:
        enough = len(self.accepted) + JOBS_BETWEEN
        until("jobs flow", lambda: len(self.accepted) >= enough, 30)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=15) as client:
            while not self._done.wait(0.01):
                key = f"rotation-{len(self.accepted)}"
                answer = client.post(
                    "/jobs/", json={"data": [0.01, 1], "operation": "effect"}, headers={"Idempotency-Key": key}
                )
                if answer.status_code in (200, 202):
                    self.accepted.append(answer.json()["job_id"])
                else:
                    assert answer.status_code == 503, answer.text


class Secrets:
    """The files of all parts, as a mounted Secret: each is replaced at once."""

    def __init__(self, folder: Path, postgres: Postgres, own_redis: Redis, form: str) -> None:
        self._folder, self._form = folder, form
        self._hosts = {
            "DATABASE_URL": f"127.0.0.1:{postgres.port}/postgres",
            "REDIS_URL": f"127.0.0.1:{own_redis.port}/0",
        }

    def write(self, password: str, suffix: str = "") -> None:
        for part in PARTS:
            for name, text in self._texts(part, password, suffix).items():
                new = self._folder / "new"
                new.write_text(f"{text}\n")
                new.replace(self._folder / f"{part}.{name}")

    def _texts(self, part: str, password: str, suffix: str) -> dict[str, str]:
        if self._form == "password":
            return {"JOBPROC_DATABASE_PASSWORD": password, "JOBPROC_REDIS_PASSWORD": password}
        return {
            "DATABASE_URL": f"postgresql://{ROLE_PREFIX}_{part}{suffix}:{password}@{self._hosts['DATABASE_URL']}",
            "REDIS_URL": f"redis://{part}{suffix}:{password}@{self._hosts['REDIS_URL']}",
        }

    def settings(self, part: str) -> dict[str, str]:
        """Return the variables of a part."""
        named = {f"{name}_FILE": str(self._folder / f"{part}.{name}") for name in self._texts(part, "", "")}
        if self._form == "password":
            return {
                "DATABASE_URL": f"postgresql://{ROLE_PREFIX}_{part}@{self._hosts['DATABASE_URL']}",
                "REDIS_URL": f"redis://{part}@{self._hosts['REDIS_URL']}",
                **named,
            }
        return {"DATABASE_URL": "", "REDIS_URL": "", **named}


@pytest.fixture
def checked(own_postgres: Postgres) -> Postgres:
    """Return a PostgreSQL that asks for passwords, but not the superuser."""
    hba = own_postgres.folder / "pg_hba.conf"
    hba.write_text(f"host all postgres all trust\nhost all all all scram-sha-256\n{hba.read_text()}")
    admin = Database(own_postgres.url())
    admin.value("SELECT pg_reload_conf()")
    until("passwords are checked", lambda: _is_refused(own_postgres, f"{ROLE_PREFIX}_api", "wrong"))
    admin.close()
    return own_postgres


def _is_refused(postgres: Postgres, role: str, password: str) -> bool:
    try:
        psycopg2.connect(host="127.0.0.1", port=postgres.port, dbname="postgres", user=role, password=password).close()
    except psycopg2.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


def _close_connections(admin: Database, own_redis: Redis) -> None:
    admin.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'jobproc%'")
    for part in PARTS:
        own_redis.client.client_kill_filter(user=part)


@pytest.mark.parametrize("form", ["url", "password"])
def test_every_job_ends_while_passwords_change_and_connections_are_closed(
    make_system: Callable[..., System], checked: Postgres, own_redis: Redis, tmp_path: Path, form: str
) -> None:
    secrets = Secrets(tmp_path, checked, own_redis, form)
    secrets.write(FIRST)
    system = make_system(checked.url(), own_redis.url)
    for part in PARTS:
        getattr(system, part)(**secrets.settings(part))
    children, admin, old = system.children(), system.database, FIRST
    with Submitter(system) as submitter:
        for password in ("Second: @/%", "third"):
            submitter.wait_for_more()
            for part in PARTS:
                admin.rows(f"ALTER ROLE {ROLE_PREFIX}_{part} PASSWORD %s", (password,))
                own_redis.client.acl_setuser(part, enabled=True, reset_passwords=True, passwords=[f"+{password}"])
            _close_connections(admin, own_redis)  # all are refused until the file has the new password
            until("a process is refused", lambda: any("authentication" in system.log(part) for part in PARTS))
            if form == "password":
                secrets.write(password)
            else:
                secrets.write(_quoted(password))
            assert _is_refused(checked, f"{ROLE_PREFIX}_worker", old)
            old = password
        submitter.wait_for_more()
    system.wait_all()
    assert {system.status(job) for job in submitter.accepted} == {"SUCCESS"}
    system.submit("other_queue", 1)  # which nobody serves, so the controller rings for it
    until("all are connected to Redis", lambda: _users(own_redis) >= set(PARTS))
    until("Celery waits for doorbells", lambda: "brpop" in _commands(own_redis))
    assert all(process.poll() is None for process in system.processes.values())
    assert system.children() == children


def test_each_part_may_get_another_user(
    make_system: Callable[..., System], checked: Postgres, own_redis: Redis, tmp_path: Path
) -> None:
    """Then no connection is ever refused: both users may log in until the first is taken away."""
    secrets = Secrets(tmp_path, checked, own_redis, "url")
    secrets.write(FIRST)
    system = make_system(checked.url(), own_redis.url)
    for part in PARTS:
        getattr(system, part)(**secrets.settings(part))
    client: Any = own_redis.client
    listed = {line.split()[1]: line.split(" on ", 1)[1] for line in client.acl_list()}
    for part in PARTS:
        system.database.rows(f"CREATE ROLE {ROLE_PREFIX}_{part}_b LOGIN PASSWORD 'other' IN ROLE {ROLE_PREFIX}_{part}")
        rules = [word for word in listed[part].split() if not word.startswith("#")]
        client.execute_command("ACL", "SETUSER", f"{part}_b", "on", ">other", *rules)
    with Submitter(system) as submitter:
        submitter.wait_for_more()
        secrets.write("other", "_b")
        _close_connections(system.database, own_redis)
        for part in PARTS:
            system.database.rows(f"ALTER ROLE {ROLE_PREFIX}_{part} NOLOGIN")
            own_redis.client.acl_setuser(part, enabled=False)
        submitter.wait_for_more()
    system.wait_all()
    assert {system.status(job) for job in submitter.accepted} == {"SUCCESS"}
    system.submit("other_queue", 1)  # which nobody serves, so the controller rings for it
    until("all are connected to Redis", lambda: _users(own_redis) >= {f"{part}_b" for part in PARTS})
    logs = "".join(system.log(part) for part in PARTS)
    assert "password authentication failed" not in logs
    assert "WRONGPASS" not in logs


def test_a_file_that_is_away_is_named_and_costs_no_job(
    make_system: Callable[..., System], checked: Postgres, own_redis: Redis, tmp_path: Path
) -> None:
    secrets = Secrets(tmp_path, checked, own_redis, "url")
    secrets.write(FIRST)
    system = make_system(checked.url(), own_redis.url)
    for part in ("api", "worker"):
        getattr(system, part)(**secrets.settings(part))
    job = system.submit("effect", 0.01, 1)
    assert system.wait(job)["status"] == "SUCCESS"
    (tmp_path / "worker.DATABASE_URL").unlink()
    _close_connections(system.database, own_redis)
    until(
        "the worker names the file",
        lambda: "DATABASE_URL_FILE names a file that cannot be read" in system.log("worker"),
    )
    waiting = system.submit("effect", 0.01, 1)
    secrets.write(FIRST)
    assert system.wait(waiting)["status"] == "SUCCESS"


def _quoted(password: str) -> str:
    return "".join(f"%{ord(letter):02X}" for letter in password)


def _users(own_redis: Redis) -> set[str]:
    return {client["user"] for client in own_redis.client.client_list()}


def _commands(own_redis: Redis) -> set[str]:
    return {client["cmd"] for client in own_redis.client.client_list()}


def test_a_password_in_a_url_of_redis_is_checked_by_these_tests(own_redis: Redis) -> None:
    url = f"redis://api:wrong@127.0.0.1:{own_redis.port}/0"
    with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
