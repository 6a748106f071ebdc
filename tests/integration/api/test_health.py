"""/livez and /readyz: their checks, and the names of failed checks."""

from collections.abc import Callable
from typing import Any

from rig.system import System

from common.migrations import head


def checks(system: System) -> dict[str, bool]:
    """Return the checks of /readyz, after a check of the form that all its responses share."""
    response = system.client.get("/readyz")
    body = response.json()
    assert response.status_code == (200 if body["ready"] else 503)
    assert body["ready"] == all(check["ok"] for check in body["checks"])
    assert all(set(check) == {"name", "ok", "detail"} and check["detail"] for check in body["checks"])
    return {check["name"]: check["ok"] for check in body["checks"]}


def test_an_api_on_a_migrated_database_is_ready(read_only_system: System) -> None:
    assert checks(read_only_system) == {"database": True, "migrations": True, "clock": True}
    assert read_only_system.client.get("/livez").json() == {"alive": True}


def test_an_api_on_a_database_without_a_schema_is_alive_but_not_ready(
    make_system: Callable[..., System], empty_database_url: str, redis_url: str, assert_problem: Callable[..., Any]
) -> None:
    system = make_system(empty_database_url, redis_url).api()
    assert checks(system) == {"database": True, "migrations": False}
    assert head() in system.client.get("/readyz").text, "the needed migration is named"
    assert system.client.get("/livez").status_code == 200
    assert_problem(
        system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}), 503, "store-unavailable"
    )


def test_the_api_is_ready_on_a_newer_schema_but_not_on_an_older_one(system: System) -> None:
    """Migrations expand first: old code runs on a new schema, but new code does not run on an old schema."""
    system.api()
    for revision, ok in (("0000", False), ("9999", True), (head(), True)):
        system.database.rows("UPDATE alembic_version SET version_num = %s", (revision,))
        assert checks(system) == {"database": True, "migrations": ok, "clock": True}
        assert revision in system.client.get("/readyz").text
    system.database.rows("DELETE FROM alembic_version")
    assert checks(system)["migrations"] is False


def test_an_api_whose_role_lacks_a_right_is_not_ready_and_says_so(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api()
    system.database.rows("REVOKE SELECT ON alembic_version FROM jobproc_test_api")
    assert checks(system) == {"database": False}
    body = assert_problem(system.client.get("/readyz"), 503, "not-ready")
    assert "refuses the check (InsufficientPrivilegeError); run migrations" in body["detail"]
    assert system.client.get("/livez").status_code == 200
    system.database.rows("GRANT SELECT ON alembic_version TO jobproc_test_api")
    assert all(checks(system).values())


def test_an_api_whose_clock_differs_too_much_from_the_database_is_not_ready(system: System) -> None:
    system.api(JOBPROC_MAX_CLOCK_SKEW_SECONDS="0.0000001")
    assert checks(system) == {"database": True, "migrations": True, "clock": False}


def test_an_unavailable_database_is_named_and_the_process_stays_alive(
    make_system: Callable[..., System], redis_url: str
) -> None:
    system = make_system("postgresql://someone:Zebra7@127.0.0.1:1/none", redis_url).api()
    assert checks(system) == {"database": False}
    assert system.client.get("/livez").json() == {"alive": True}
    assert "Zebra7" not in system.client.get("/readyz").text


def test_a_process_that_is_not_ready_responds_with_a_problem(
    make_system: Callable[..., System], redis_url: str, assert_problem: Callable[..., Any]
) -> None:
    """The checks are further members of the problem."""
    system = make_system("postgresql://postgres@127.0.0.1:1/none", redis_url).api()
    body = assert_problem(system.client.get("/readyz"), 503, "not-ready")
    assert "database" in body["detail"], "the failed check is named"
    assert body["ready"] is False


def test_readiness_does_not_depend_on_redis(make_system: Callable[..., System], database_url: str) -> None:
    system = make_system(database_url, "redis://127.0.0.1:1/0").api()
    assert all(checks(system).values())
