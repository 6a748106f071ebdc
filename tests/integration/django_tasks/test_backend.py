"""The backend of `django.tasks` end to end: the cases of Django's own backends, on a real API and real workers."""

import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import django
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from integration.django_tasks import shop
from rig.databases import database
from rig.packages import write_package
from rig.system import System, until

from jobproc.django.backend import JobprocBackend, priority_of
from jobproc.django.tasks_api import TaskResultDoesNotExist, TaskResultStatus, task_backends, task_enqueued
from jobproc.errors import SubmissionError

READY, SUCCESSFUL, FAILED = TaskResultStatus.READY, TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED
REDIS_NUMBER = 50


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run a system whose worker has the tasks of a project of Django, and be a process of that project."""
    number = REDIS_NUMBER + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url, pytest.MonkeyPatch.context() as patch:
        system = System(tmp_path_factory.mktemp("system"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        folder, parts = system.folder / "packages", urlsplit(url)
        write_package(folder, "shop_operations", shop.OPERATIONS)
        (folder / "shop_settings.py").write_text(shop.SETTINGS)
        (folder / "shop_tasks.py").write_text(shop.TASKS)
        variables = {
            "SHOP_NAME": parts.path[1:],
            "SHOP_HOST": str(parts.hostname),
            "SHOP_PORT": str(parts.port),
            "SHOP_API": f"http://127.0.0.1:{system.port}",
            "DJANGO_SETTINGS_MODULE": "shop_settings",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(folder))
        system.env |= variables | {"PYTHONPATH": f"{system.env['PYTHONPATH']}:{folder}"}
        django.setup()
        call_command("migrate", verbosity=0)
        try:
            system.api().worker(queues="default,mail").controller()
            yield system
        finally:
            connection.close()
            print("\n".join(system.show_logs()))
            system.close()


@pytest.fixture
def tasks(project: System) -> Any:
    return importlib.import_module("shop_tasks")


def finished(result: Any) -> Any:
    def is_finished() -> bool:
        result.refresh()
        return bool(result.is_finished)

    until("the task has finished", is_finished)
    return result


def test_a_task_is_enqueued_runs_in_a_worker_and_has_its_return_value(tasks: Any) -> None:
    told: list[Any] = []
    task_enqueued.connect(lambda task_result, **_: told.append(task_result), weak=False)
    result = tasks.add.enqueue(1, right=2)
    assert (result.status, result.args, result.kwargs, result.backend) == (READY, [1], {"right": 2}, "default")
    assert result.attempts == 0
    assert not result.is_finished
    assert told == [result]
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    finished(result)
    assert (result.status, result.return_value, result.errors, result.attempts) == (SUCCESSFUL, {"sum": 3}, [], 1)
    assert result.enqueued_at <= result.started_at <= result.finished_at
    again = tasks.add.get_result(result.id)
    assert (again.task, again.args, again.kwargs, again.return_value) == (tasks.add, [1], {"right": 2}, {"sum": 3})


def test_a_task_that_raises_has_failed_with_the_class_and_the_text(tasks: Any) -> None:
    result = finished(tasks.fail.enqueue("no such order"))
    assert (result.status, result.attempts) == (FAILED, 1)
    (error,) = result.errors
    assert error.exception_class is ValueError
    assert "no such order" in error.traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_a_return_value_that_is_no_json_fails_the_task(tasks: Any) -> None:
    (error,) = finished(tasks.gone.enqueue()).errors
    assert error.exception_class is TypeError


@pytest.mark.parametrize(("name", "args", "value"), [("greet", ["Ada"], "Hello Ada"), ("ask_database", [], 42)])
def test_asynchronous_tasks_and_the_database_work(tasks: Any, name: str, args: list[Any], value: Any) -> None:
    assert finished(getattr(tasks, name).enqueue(*args)).return_value == value


def test_a_task_gets_its_context(tasks: Any) -> None:
    result = finished(tasks.attempt.enqueue("word"))
    assert result.return_value == [1, result.id, "word"]


def test_the_asynchronous_interface_works(tasks: Any) -> None:
    async def run() -> Any:
        result = await tasks.add.aenqueue(5)
        return await tasks.add.aget_result(result.id)

    result = asyncio.run(run())
    assert finished(result).return_value == {"sum": 6}


def test_queue_priority_and_start_are_those_of_the_job(tasks: Any, project: System) -> None:
    after = datetime.now(UTC) + timedelta(hours=1)
    result = tasks.fail.using(run_after=after, priority=-3).enqueue("x")
    job = project.job(result.id)
    assert (job["queue"], job["priority"], job["status"], job["operation"]) == ("mail", 6, "SCHEDULED", "django.task")
    read = tasks.fail.get_result(result.id)
    assert (read.status, read.task.priority, read.task.queue_name, read.task.run_after) == (READY, -3, "mail", after)
    project.client.post(f"/jobs/{result.id}/cancel").raise_for_status()
    assert finished(result).status == FAILED


def test_priorities_keep_their_order() -> None:
    mapped = [priority_of(SimpleNamespace(priority=priority)) for priority in range(100, -101, -1)]
    assert mapped == sorted(mapped)
    assert (mapped[0], mapped[99], mapped[100], mapped[101], mapped[-1]) == (0, 4, 5, 6, 9)


def test_tasks_that_cannot_run_are_refused(tasks: Any, project: System) -> None:
    invalid = type(task_backends).exception_class.__mro__[0].__module__  # of Django or of its backport
    exceptions = importlib.import_module(invalid)
    error = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
    for changes in ({"queue_name": "unknown"}, {"priority": 101}, {"run_after": datetime(2030, 1, 1)}):  # noqa: DTZ001 - it must be aware
        with pytest.raises(error):
            tasks.add.using(**changes)
    with pytest.raises(error):
        type(tasks.add)(func=lambda: None)
    with pytest.raises(TypeError):
        tasks.add.enqueue(object())


def test_an_unknown_result_does_not_exist_and_one_of_another_task_does_not_match(tasks: Any, project: System) -> None:
    other = project.submit("square_sum", 1)
    for result_id in ("no id", "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10", other):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(result_id)
        with pytest.raises(TaskResultDoesNotExist):
            task_backends["outbox"].get_result(result_id)
    result = tasks.add.enqueue(1)
    with pytest.raises(Exception, match="does not match"):
        tasks.greet.get_result(result.id)


def test_only_tasks_are_run(project: System) -> None:
    for path in ("shop_tasks.no_task", "os.system", "no_module.task"):
        body: dict[str, Any] = {"task": path, "args": [], "kwargs": {}, "priority": 0, "run_after": None}
        response = project.client.post("/jobs/", json={"operation": "django.task", "input": body})
        job = project.wait(response.json()["job_id"])
        assert job["status"] == "FAILED"
        assert f"this worker has no task '{path}'" in job["error"]["text"]


def test_a_task_of_a_transaction_runs_if_that_is_committed(tasks: Any, project: System) -> None:
    with transaction.atomic():
        tasks.later.enqueue(1)
        transaction.set_rollback(True)
    with transaction.atomic():
        result = tasks.later.enqueue(2)
        assert tasks.later.get_result(result.id).status == READY
    call_command("jobproc_relay", "--until-empty", stdout=sys.stderr)
    assert finished(result).return_value == 2
    numbers = "SELECT input->'args'->>0 FROM jobs WHERE input->>'task' = 'shop_tasks.later'"
    assert project.database.rows(numbers) == [("2",)]


def test_a_task_that_the_api_refuses_has_failed_with_the_problem(tasks: Any) -> None:
    backend = task_backends["outbox"]
    with connection.cursor() as cursor:
        result = tasks.later.enqueue(3)
        cursor.execute(
            "UPDATE jobproc_outbox SET body = replace(body, 'django.task', 'no.such') WHERE id = %s", [result.id]
        )
    call_command("jobproc_relay", "--until-empty", stdout=sys.stderr)
    (error,) = backend.get_result(result.id).errors
    assert "unknown-operation" in error.traceback
    assert error.exception_class is SubmissionError


def test_the_table_of_the_migration_is_that_of_the_statements(project: System) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    from jobproc.outbox import ddl

    columns = """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
                 WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
    project.database.rows("CREATE SCHEMA plain")
    for statement in ddl("postgresql", "plain.jobproc_outbox"):
        project.database.rows(statement)
    tables = [project.database.rows(columns, (f"{schema}.jobproc_outbox",)) for schema in ("public", "plain")]
    assert tables[0] == tables[1]


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(Exception, match=r"OPTIONS has URI; known are .*URL"):
        JobprocBackend("default", {"OPTIONS": {"URI": "x"}})
