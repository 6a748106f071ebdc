"""The passwords of PostgreSQL and Redis change while jobs run, by the commands of docs/operate/rotate-passwords.md."""

import re
from typing import Any

import psycopg2
import pytest
from e2e.cluster import CHART, ROOT, Namespace, run, until

PARTS = ("api", "worker", "controller")
ROLES, REDIS = "jobproc-database-roles", "jobproc-redis"
PAGE = ROOT / "docs" / "operate" / "rotate-passwords.md"


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    """Install with another user than that of the images, who must be able to read the files too."""
    other = [f"podSecurityContext.runAs{kind}=12345" for kind in ("User", "Group")]
    namespace.install("secretFiles=true", *other, "worker.replicas=2", "postgresql.persistence.enabled=false")
    return namespace


def commands(namespace: Namespace) -> list[str]:
    """Return the blocks of commands of the section on Kubernetes, unchanged but for the namespace."""
    section = PAGE.read_text().partition("\n## In Kubernetes\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [text.replace("-n jobproc ", f"-n {namespace.name} ") for language, text in blocks if not language]


def passwords(namespace: Namespace) -> dict[str, str]:
    """Return the passwords of both Secrets, by Secret and part."""
    return {f"{name} {part}": namespace.secret(name, part) for name in (ROLES, REDIS) for part in PARTS}


def is_refused_by_postgresql(port: int, part: str, password: str) -> bool:
    try:
        psycopg2.connect(
            host="127.0.0.1", port=port, dbname="jobproc", user=f"jobproc_{part}", password=password
        ).close()
    except psycopg2.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


def redis_says(namespace: Namespace, user: str, password: str, command: str) -> str:
    asked = f"AUTH {user} {password}\n{command}\n"
    return namespace.kubectl("exec", "-i", "jobproc-redis-0", "--", "redis-cli", "-h", "127.0.0.1", stdin=asked)


def users_of_redis(namespace: Namespace) -> set[str]:
    listed = redis_says(namespace, "default", namespace.secret(REDIS, "password"), "CLIENT LIST")
    return set(re.findall(r" user=(\S+)", listed))


def instances(namespace: Namespace) -> dict[str, Any]:
    """Return the restarts of each pod."""
    return {
        pod.metadata.name: pod.status.container_statuses[0].restart_count
        for part in (*PARTS, "migrate")
        for pod in namespace.pods(part)
    }


def test_passwords_change_while_jobs_run_and_none_is_lost(installed: Namespace) -> None:
    database, old, pods = installed.database(), passwords(installed), instances(installed)
    port = installed.forward("pod/jobproc-postgresql-0", 5432)
    assert len(commands(installed)) == 4
    with installed.load("rotated", rate=20) as report:
        for block in commands(installed):
            print(run("bash", "-euo", "pipefail", "-c", block, limit_s=180))
    # Without an open connection the API may have to refuse for as long as it reads the files.
    report.shows_no_loss("503", min_jobs=1_000)
    new = passwords(installed)
    assert not set(old.values()) & set(new.values())
    assert database.rows("SELECT status, count(*), count(DISTINCT id) FROM outcomes GROUP BY 1") == [
        ("SUCCESS", report["accepted"], report["accepted"])
    ]
    for part in PARTS:
        assert is_refused_by_postgresql(port, part, old[f"{ROLES} {part}"]), part
        assert not is_refused_by_postgresql(port, part, new[f"{ROLES} {part}"]), part
        assert "WRONGPASS" in redis_says(installed, part, old[f"{REDIS} {part}"], "PING"), part
    assert instances(installed) == pods, "no process was restarted"
    roles = {(f"jobproc_{part}",) for part in PARTS}
    connected = "SELECT DISTINCT usename FROM pg_stat_activity WHERE usename LIKE 'jobproc\\_%'"
    until("each part is connected", lambda: set(database.rows(connected)) == roles)
    until("API and workers are connected to Redis", lambda: {"api", "worker"} <= users_of_redis(installed))


def test_a_restart_of_redis_and_an_upgrade_keep_the_new_passwords(installed: Namespace) -> None:
    before = passwords(installed)
    installed.delete_pod("jobproc-redis-0", gracefully=True)
    until("Redis is ready", lambda: installed.ready_pod("jobproc-redis-0"), 90)
    for part in PARTS:
        assert "WRONGPASS" not in redis_says(installed, part, before[f"{REDIS} {part}"], "PING"), part
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--wait")
    assert passwords(installed) == before
    api = installed.api()
    assert api.until_status(api.submit("cube_sum", 2), "SUCCESS")["result"] == 8.0
