"""A shop on Celery moves task by task: its callers first, or its workers first, beside a worker of Celery."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import celery.result
import pytest
from celery.contrib.testing.worker import start_worker
from integration.celery.support.systems import OFFER, imported, running
from rig.system import System, until

from jobproc import celery as moved
from jobproc.celery import AsyncResult, NotMapped, group, route, signature
from jobproc.client import JobFailed
from jobproc.errors import DeclarationError

#: Where workers move first: a task is written anew, and the others are still the app's.
NEW_PRICE = '''
from jobproc.celery import shared_task


@shared_task(name="shop.price")
def price(amount: int, *, tax: int = 20) -> int:
    """Return the price with its tax, from the new code."""
    return amount * (100 + tax) // 100 + 1_000
'''
OFFER_OTHERS = OFFER.replace("__name__)", '__name__, "shop.[!p]*")')


@pytest.fixture(scope="module", params=["callers first", "workers first"])
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, worker_id: str, stage: str) -> Iterator[System]:
    packages = {"offer": OFFER} if stage == "callers first" else {"offer": OFFER_OTHERS, "new_price": NEW_PRICE}
    with running(tmp_path_factory.mktemp("system"), worker_id, packages, queues="default,mail") as system:
        yield system


@pytest.fixture
def shop(system: System) -> Iterator[ModuleType]:
    module = imported("shop")
    yield module
    for task in module.app.tasks.values():
        vars(task).pop("apply_async", None)
    vars(module.app).pop("send_task", None)
    module.app.conf.broker_url = "memory://"


def test_tasks_move_one_by_one_beside_a_worker_of_celery(shop: ModuleType, stage: str) -> None:
    new = 1_000 if stage == "workers first" else 0
    with start_worker(shop.app, perform_ping_check=False, shutdown_timeout=20):
        assert shop.price.delay(100).get(timeout=20) == 120, "nothing has moved"
        assert route(shop.app, "shop.price") == ["shop.price"]
        result = shop.price.delay(100, tax=10)
        assert isinstance(result, AsyncResult)
        assert result.get(timeout=20) == 110 + new
        assert isinstance(shop.app.send_task("shop.price", (100,)), AsyncResult)
        assert shop.price.s(100).apply_async().get(timeout=20) == 120 + new
        others = shop.said.delay()
        assert isinstance(others, celery.result.AsyncResult), "the others are still Celery's"
        assert others.get(timeout=20) >= 1
        route(shop.app, "shop.*")
        assert isinstance(shop.said.delay(), AsyncResult)
        with pytest.raises(NotMapped, match="make the chain"):
            (shop.price.s(1) | shop.price.s()).delay()
        with pytest.raises(DeclarationError, match=r"shop\.none"):
            route(shop.app, "shop.none")


def test_priorities_and_queues_are_as_the_app_has_them(shop: ModuleType) -> None:
    route(shop.app, "shop.*")
    lowest = shop.price.apply_async((1,), priority=0, countdown=100)
    assert lowest.details().priority == 9, "as RabbitMQ and the memory broker have it"
    shop.app.conf.broker_url = "redis://127.0.0.1:1/0"
    assert shop.price.apply_async((1,), priority=0, countdown=100).details().priority == 0
    assert shop.receipt.delay(7).details().queue == "mail"
    assert shop.receipt.delay(7).get(timeout=20) is None, "its result is ignored"
    assert shop.price.apply_async((1,), queue="celery").details().queue == "default"


def test_a_retry_of_the_app_is_a_retry_of_the_job(shop: ModuleType, tmp_path: Path) -> None:
    route(shop.app, "shop.*")
    result = shop.charge.delay(str(tmp_path), "card", 2)
    assert result.get(timeout=20) == {"id": result.id, "retries": 2, "key": "card"}
    assert (tmp_path / "card").read_text() == "0\n1\n2\n"
    with pytest.raises(JobFailed) as exhausted:
        shop.charge.delay(str(tmp_path), "lost card", 9).get(timeout=20)
    assert (exhausted.value.type, exhausted.value.attempt) == ("ConnectionError", 4)
    assert shop.ship.delay(str(tmp_path), "parcel", 2).get(timeout=20) == 3
    with pytest.raises(JobFailed) as late:
        shop.ship.delay(str(tmp_path), "lost parcel", 9).get(timeout=20)
    assert (late.value.type, late.value.attempt) == ("TimeoutError", 3)
    with pytest.raises(JobFailed) as broken:
        shop.broken.delay().get(timeout=20)
    assert (broken.value.type, broken.value.attempt) == ("LookupError", 1)


def test_limits_signals_and_states_of_the_app_work(shop: ModuleType, tmp_path: Path) -> None:
    route(shop.app, "shop.*")
    assert shop.report.delay().get(timeout=20) == "half a report"
    assert shop.said.delay().get(timeout=20) >= 1
    result = shop.count.delay(str(tmp_path))
    until("the task reports", lambda: result.state == "COUNTING")
    assert result.info == {"current": 1, "total": 4}
    (tmp_path / "go on").touch()
    assert result.get(timeout=20) == 4


def test_a_task_of_a_killed_process_runs_again(system: System, shop: ModuleType, tmp_path: Path) -> None:
    route(shop.app, "shop.*")
    result = shop.count.delay(str(tmp_path))
    until("the task runs", lambda: result.state == "COUNTING")
    worker = result.details().worker
    pid = system.database.value("SELECT pid FROM workers WHERE id = %s", (worker,))
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "go on").touch()
    assert result.get(timeout=30) == 4
    assert result.retries == 1


def test_tasks_of_the_app_are_steps_of_a_canvas(shop: ModuleType, stage: str) -> None:
    assert shop
    new = 1_000 if stage == "workers first" else 0
    prices = group(signature("shop.price", (amount,)) for amount in (100, 200))
    assert prices.delay().get(timeout=20) == [120 + new, 240 + new]
    twice = signature("shop.price", (100,)) | signature("shop.price", kwargs={"tax": 0})
    assert moved.chain(twice).delay().get(timeout=20) == 120 + new + new
