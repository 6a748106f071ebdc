"""The examples of docs/howto/transactional-enqueue.md and docs/howto/django.md work as they are."""

import ast
import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.django_tasks import shop as django_project
from rig.fork_server import python_path
from rig.system import Database, System
from sqlalchemy.ext.asyncio import create_async_engine

from jobproc.django.options import BackendOptions
from jobproc.outbox.__main__ import main

HOWTO = Path(__file__).resolve().parents[3] / "docs" / "howto"
PAGE = (HOWTO / "transactional-enqueue.md").read_text()
DJANGO_PAGE = (HOWTO / "django.md").read_text()
DATABASE, API = "postgresql://shop@127.0.0.1/shop", "http://127.0.0.1:8000"


def example(page: str, name: str) -> str:
    (code,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", page, re.DOTALL)
    return str(code)


@pytest.fixture
def shop(database_url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Database]:
    """Return a connection to a database with orders and the table that the command of the page prints."""
    database = Database(database_url, "public")
    (command,) = re.findall(r"^python -m jobproc.outbox (ddl .*)$", PAGE, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    database.rows("CREATE TABLE public.orders (number int)")
    database.rows(f"SET search_path = public; {capsys.readouterr().out}")
    yield database
    database.close()


def in_public(url: str) -> str:
    return f"{url}?options=-csearch_path%3Dpublic"


def test_the_examples_of_the_outbox_work(system: System, shop: Database) -> None:
    system.api()
    names: dict[str, Any] = {}
    exec(example(PAGE, "shop.py"), names)  # noqa: S102 - of the page
    with psycopg.connect(in_public(shop.url)) as connection:
        row = names["place_order"](connection, 4711)
    exec(example(PAGE, "async_shop.py"), names)  # noqa: S102 - likewise
    arguments = {"server_settings": {"search_path": "public"}}
    url = shop.url.replace("postgresql://", "postgresql+asyncpg://")

    async def place_order() -> str:
        engine = create_async_engine(url, connect_args=arguments)
        try:
            return str(await names["place_order"](engine, 4712))
        finally:
            await engine.dispose()

    rows = [row, asyncio.run(place_order())]
    (command,) = re.findall(r"^python (-m jobproc.outbox relay .*)$", PAGE, re.MULTILINE)
    command = command.replace(DATABASE, in_public(shop.url)).replace(API, f"http://127.0.0.1:{system.port}")
    argv = [sys.executable, *shlex.split(command), "--until-empty"]
    done = subprocess.run(argv, env=python_path(), capture_output=True, text=True, check=False, cwd=system.folder)
    assert done.stdout == "accepted 2, refused 0, postponed 0\n", done.stderr
    found = shop.rows("SELECT id, problem FROM jobproc_outbox WHERE refused_at IS NOT NULL")
    assert found == []
    told = shop.rows("SELECT job_id FROM jobproc_outbox WHERE id = ANY (%s)", (rows,))
    assert sorted(told) == sorted(system.database.rows("SELECT id::text FROM jobs"))
    assert shop.rows("SELECT number FROM public.orders ORDER BY 1") == [(4711,), (4712,)]


def test_the_relay_of_a_thread_works(system: System, shop: Database) -> None:
    code = (
        example(PAGE, "relay.py").replace(DATABASE, in_public(shop.url)).replace(API, f"http://127.0.0.1:{system.port}")
    )
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - of the page
    names["relay"].stop()


def test_the_modules_of_django_are_those_that_its_tests_run() -> None:
    """Quotes and the comment for a linter apart."""
    ours = ast.unparse(ast.parse(example(DJANGO_PAGE, "shop_operations.py")))
    assert ours.replace(", max_attempts=1, timeout_seconds=300", "") == ast.unparse(
        ast.parse(django_project.OPERATIONS)
    )
    names: dict[str, Any] = {}
    exec(example(DJANGO_PAGE, "settings.py"), names)  # noqa: S102 - of the page
    backend = names["TASKS"]["default"]
    options = BackendOptions.from_settings("default", backend["OPTIONS"])
    assert (backend["BACKEND"], options.url, options.operation) == ("jobproc.django.JobprocBackend", API, "django.task")
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", DJANGO_PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
    assert named == {"URL", "API_KEY", "CA_FILE", "TIMEOUT_SECONDS", "OPERATION", "OUTBOX", "DATABASE", "TABLE"}
