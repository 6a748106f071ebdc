"""GET /diagnostics: the parts of the installation, each with what to do if it is away."""

from typing import Any

from rig.system import System, until


def checks(system: System) -> dict[str, dict[str, Any]]:
    """Return the checks by name, after a check of their form."""
    body = system.client.get("/diagnostics").raise_for_status().json()
    assert body["healthy"] == all(check["ok"] for check in body["checks"])
    assert all((check["todo"] is None) == check["ok"] and check["detail"] for check in body["checks"])
    return {check["name"]: check for check in body["checks"]}


def failed(system: System) -> set[str]:
    return {name for name, check in checks(system).items() if not check["ok"]}


def test_parts_that_do_not_run_are_found(system: System) -> None:
    system.api()
    assert set(checks(system)) == {"database", "migrations", "clock", "connections", "controller", "workers", "broker"}
    assert failed(system) == {"controller", "workers"}
    assert "worker.controller" in checks(system)["controller"]["todo"]
    system.controller().worker(concurrency=1)
    until("they run", lambda: not failed(system))
    assert checks(system)["workers"]["detail"] == "worker processes that are alive: 1"


def test_redis_that_is_away_is_a_failed_check_with_its_reason(make_system: Any, database_url: str) -> None:
    system = make_system(database_url, "redis://127.0.0.1:1/0").api()
    assert "broker" in failed(system)
    assert "Redis does not answer: Error" in checks(system)["broker"]["detail"]


def test_connections_near_the_limit_are_found(system: System) -> None:
    system.api()
    assert "connections" not in failed(system)
    used, most = (int(word) for word in checks(system)["connections"]["detail"].split() if word.isdigit())
    assert 0 < used < most


def test_a_role_without_the_right_to_list_the_parts_is_told(system: System) -> None:
    system.api()
    system.database.rows("REVOKE SELECT ON leaders FROM jobproc_test_api")
    assert "database" in failed(system)
    assert "refuses to list" in str(system.client.get("/diagnostics").json())
    system.database.rows("GRANT SELECT ON leaders TO jobproc_test_api")
