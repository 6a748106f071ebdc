"""/livez and /readyz: what they check, and that they name what is missing."""

from collections.abc import Callable
from typing import Any

from rig.system import System

from common.migrations import head


def checks(system: System) -> dict[str, bool]:
    """Return the checks of /readyz, after looking at what all of its answers have in common."""
    answer = system.client.get("/readyz")
    body = answer.json()
    assert answer.status_code == (200 if body["ready"] else 503)
    assert body["ready"] == all(check["ok"] for check in body["checks"])
    assert all(set(check) == {"name", "ok", "detail"} and check["detail"] for check in body["checks"])
    return {check["name"]: check["ok"] for check in body["checks"]}


def test_a_migrated_database_is_ready(served: System) -> None:
    assert checks(served) == {"database": True, "migrations": True, "clock": True}
    assert served.client.get("/livez").json() == {"alive": True}


def test_a_database_without_a_schema_is_alive_but_not_ready(
    make_system: Callable[..., System], empty_database_url: str, redis_url: str, refused: Callable[..., Any]
) -> None:
    system = make_system(empty_database_url, redis_url).api()
    assert checks(system) == {"database": True, "migrations": False}
    assert head() in system.client.get("/readyz").text, "which migration is needed"
    assert system.client.get("/livez").status_code == 200
    refused(system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}), 503, "store-unavailable")


def test_a_schema_older_than_the_code_is_not_ready_and_a_newer_one_is(system: System) -> None:
    """Migrations expand first: old code runs on the new schema, new code does not run on the old one."""
    system.api()
    for revision, ok in (("0000", False), ("9999", True), (head(), True)):
        system.database.rows("UPDATE alembic_version SET version_num = %s", (revision,))
        assert checks(system) == {"database": True, "migrations": ok, "clock": True}
        assert revision in system.client.get("/readyz").text
    system.database.rows("DELETE FROM alembic_version")
    assert checks(system)["migrations"] is False


def test_a_clock_too_far_from_the_databases_is_not_ready(system: System) -> None:
    system.api(JOBPROC_MAX_CLOCK_SKEW_SECONDS="0.0000001")
    assert checks(system) == {"database": True, "migrations": True, "clock": False}


def test_a_database_that_is_away_is_named_and_the_process_lives(make_system: Callable[..., System], redis_url: str) -> None:
    system = make_system("postgresql://someone:Zebra7@127.0.0.1:1/none", redis_url).api()
    assert checks(system) == {"database": False}
    assert system.client.get("/livez").json() == {"alive": True}
    assert "Zebra7" not in system.client.get("/readyz").text


def test_not_ready_is_a_problem_too(make_system: Callable[..., System], redis_url: str, refused: Callable[..., Any]) -> None:
    """Errors are problems everywhere; the checks go along as further members."""
    system = make_system("postgresql://postgres@127.0.0.1:1/none", redis_url).api()
    body = refused(system.client.get("/readyz"), 503, "not-ready")
    assert "database" in body["detail"], "what is missing is named"
    assert body["ready"] is False


def test_redis_is_not_asked_for_readiness(make_system: Callable[..., System], database_url: str) -> None:
    system = make_system(database_url, "redis://127.0.0.1:1/0").api()
    assert all(checks(system).values())
