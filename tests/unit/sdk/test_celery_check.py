"""`python -m jobproc.celery check`: each difference that an app of Celery shows, and the exit code."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobproc import DeclarationError, testing
from jobproc.celery import register
from jobproc.celery.check import differences, loaded
from jobproc.errors import JobprocError
from jobproc.operations import registered

APP = """
from datetime import datetime
from decimal import Decimal

from celery import Celery, chord, signals

app = Celery("checked", broker="redis://127.0.0.1:1/0", backend="redis://127.0.0.1:1/1", set_as_current=False)
app.conf.update(
    task_serializer="pickle",
    accept_content=["json", "pickle"],
    beat_schedule={"nightly": {"task": "checked.plain", "schedule": 60}},
    broker_transport_options={"visibility_timeout": 3600},
    task_routes={"checked.mail": {"queue": "mail"}},
    worker_max_tasks_per_child=100,
)


@signals.worker_process_init.connect
def connect(**facts):
    pass


@app.task(shared=False, name="checked.plain", acks_late=True)
def plain(x):
    return x


@app.task(
    shared=False,
    name="checked.mail",
    rate_limit="10/m",
    max_retries=None,
    default_retry_delay=100_000,
    ignore_result=True,
)
def mail(at: datetime, price: "Decimal"):
    return plain.apply_async((1,), link=plain.s(2))


@app.task(shared=False, name="checked.Canvas", bind=True, serializer="yaml")
def canvas(self):
    chord([plain.s(1)])(plain.s())
    plain.delay(1).get()
    try:
        raise self.retry(args=(2,))
    except ValueError:
        raise self.replace(plain.s(1))
"""
PLAIN = """
from celery import Celery

app = Celery("easy", set_as_current=False)


@app.task(shared=False, name="easy.add", acks_late=True)
def add(x, y):
    return x + y
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before, modules = dict(registered), set(sys.modules)
    (tmp_path / "checked_app.py").write_text(APP)
    (tmp_path / "easy_app.py").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    registered.clear()
    registered.update(before)
    for module in set(sys.modules) - modules:
        if module.endswith("_app"):
            del sys.modules[module]


@pytest.mark.usefixtures("place")
def test_each_difference_of_an_app_is_found() -> None:
    lines = [str(difference) for difference in differences(loaded("checked_app:app"))]
    for expected in (
        "work  task_serializer: inputs and results are JSON, not pickle",
        "work  accept_content: pickle",
        "note  result_backend",
        "note  visibility_timeout: 3600",
        "note  worker_max",
        "work  beat_schedule nightly",
        "work  signal worker_process_init (checked_app): is not sent; use on_process_start",
        "work  checked.mail: rate_limit='10/m': set the rate of its queue 'mail'",
        "note  checked.mail: max_retries=None",
        "work  checked.mail: default_retry_delay=100000",
        "note  checked.mail: ignore_result",
        "work  checked.mail: at: datetime arrives",
        "work  checked.mail: price: Decimal arrives",
        "work  checked.mail: link=: make a chain",
        "note  checked.Canvas: its operation is 'checked.canvas'",
        "work  checked.Canvas: serializer='yaml'",
        "work  checked.Canvas: chord: import it from jobproc.celery",
        "work  checked.Canvas: self.replace",
        "work  checked.Canvas: self.retry(args=, kwargs=)",
        "work  checked.Canvas: waits for another task",
        "note  acks_late: acks_late=False",
        "note  queues: start workers with --queues default,mail",
    ):
        assert any(line.startswith(expected) for line in lines), (expected, lines)
    assert not any(line.partition("  ")[2].startswith("checked.plain") for line in lines), lines


@pytest.mark.parametrize(
    ("app", "code"), [("checked_app", 10), ("easy_app:app", 0), ("no_app", 2), ("easy_app:add", 2)]
)
def test_the_exit_code_says_if_something_needs_work(place: Path, app: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jobproc.celery", "check", app], cwd=place, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    assert (ended.stdout if code != 2 else ended.stderr).strip()
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("place")
def test_the_tasks_of_an_app_are_offered_by_name() -> None:
    app = loaded("easy_app")
    assert register(app, __name__) == ["easy.add"]
    assert testing.run("easy.add", {"args": [1], "kwargs": {"y": 2}}).result == 3
    assert registered["easy.add"].options.queues == ("default",)
    with pytest.raises(DeclarationError, match="has no task none"):
        register(app, __name__, "none.*")
    with pytest.raises(JobprocError, match="has no app"):
        loaded("json")
