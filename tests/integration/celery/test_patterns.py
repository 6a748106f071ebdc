"""The patterns of Celery's user guide, with tasks of `jobproc.celery` on a running system."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from integration.celery.support.systems import imported, running
from rig.system import System, until

from jobproc.celery import AsyncResult, GroupResult, NotMapped, chain, chord, group, signature
from jobproc.client import JobCancelled, JobFailed

CODE = '''
import time
from pathlib import Path

from jobproc.celery import group, shared_task


@shared_task
def add(x, y):
    """Add two numbers."""
    return x + y


@shared_task
def mul(x, y):
    return x * y


@shared_task
def xsum(numbers):
    return sum(numbers)


@shared_task
def flat(parts):
    return parts


@shared_task(queues=("mail",))
def stamp(folder, name):
    (Path(folder) / name).touch()
    return name


@shared_task(bind=True, max_retries=3)
def flaky(self, failures):
    if self.request.retries < failures:
        raise self.retry(exc=ConnectionError("away"), countdown=0.1)
    return self.request.retries


@shared_task(autoretry_for=(ValueError,), retry_kwargs={"max_retries": 1, "countdown": 0.1})
def auto():
    raise ValueError("never")


@shared_task
def fail(text):
    raise LookupError(text)


@shared_task(bind=True)
def upload(self, folder):
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
    while not (Path(folder) / "go on").exists():
        time.sleep(0.02)
    return "uploaded"


@shared_task(time_limit=0.3, max_retries=1)
def hang():
    time.sleep(60)


@shared_task
def parent(folder):
    return [stamp.delay(folder, "by a task").id, len(group(add.si(1, number) for number in range(3)))]


@shared_task(bind=True, max_retries=1)
def canvases(self):
    sums = group(add.si(1, number) for number in range(3)).apply_async()
    ids = [sums.id, (add.si(1, 1) | add.s(2)).apply_async().id]
    if self.request.retries == 0:
        raise self.retry(exc=ConnectionError("away"), countdown=0.1)
    return ids


@shared_task
def waits(folder):
    return stamp.delay(folder, "x").get(timeout=1)
'''


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("system"), worker_id, {"celery_patterns": CODE}) as system:
        yield system


@pytest.fixture(scope="module")
def tasks(system: System) -> ModuleType:
    return imported("celery_patterns")


def test_a_task_is_called_delayed_and_its_result_read(tasks: ModuleType) -> None:
    assert tasks.add(2, 2) == 4
    result = tasks.add.delay(4, y=4)
    assert result.get(timeout=20) == 8
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("SUCCESS", True, True, False)
    assert (result.result, result.name) == (8, "celery_patterns.add")
    assert AsyncResult(result.id) == result
    assert tasks.add.AsyncResult(result.id).get() == 8
    with pytest.raises(TypeError):
        tasks.add.delay(1)
    assert signature("celery_patterns.add", (1,), {"y": 2}).delay().get(timeout=20) == 3


def test_the_options_of_apply_async_are_those_of_the_job(system: System, tasks: ModuleType) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    result = tasks.add.apply_async((1, 2), countdown=1_000, expires=2_000, priority=9, time_limit=7, retry=True)
    details = result.details()
    assert (details.status, details.priority, details.timeout_seconds) == ("SCHEDULED", 0, 7)
    assert details.input == {"args": [1, 2], "kwargs": {}}
    assert details.deadline
    assert result.state == "PENDING"
    first, second = (tasks.add.apply_async((1, 2), eta=later, task_id="once") for _ in range(2))
    assert first.id == second.id
    assert datetime.fromisoformat(first.details().run_at or "") == pytest.approx(later, abs=timedelta(seconds=1))
    first.revoke()
    assert first.state == "REVOKED"
    with pytest.raises(JobCancelled):
        first.get(timeout=10)
    assert tasks.stamp.apply_async(("/tmp", "x"), queue="mail").details().queue == "mail"
    with pytest.raises(TimeoutError):
        result.get(timeout=0.2)
    with pytest.raises(NotMapped, match=r"link: .* chain"):
        tasks.add.apply_async((1, 2), link=tasks.add.s(1))


def test_a_failure_is_raised_or_returned(tasks: ModuleType) -> None:
    result = tasks.fail.delay("no order")
    with pytest.raises(JobFailed, match="no order") as caught:
        result.get(timeout=20)
    assert (caught.value.type, caught.value.attempt) == ("LookupError", 1), "as with Celery, no attempt follows"
    assert isinstance(result.get(propagate=False), JobFailed)
    assert (result.state, result.failed()) == ("FAILURE", True)
    assert "LookupError" in (result.traceback or "")


def test_a_retry_counts_and_ends_with_the_error_of_the_task(tasks: ModuleType) -> None:
    assert tasks.flaky.delay(2).get(timeout=20) == 2
    with pytest.raises(JobFailed) as exhausted:
        tasks.flaky.delay(9).get(timeout=20)
    assert (exhausted.value.type, exhausted.value.text, exhausted.value.attempt) == ("ConnectionError", "away", 4)
    with pytest.raises(JobFailed) as auto:
        tasks.auto.delay().get(timeout=20)
    assert (auto.value.type, auto.value.attempt) == ("ValueError", 2)
    assert tasks.flaky.delay(1).get(timeout=20) == 1


def test_a_time_limit_ends_each_attempt(tasks: ModuleType) -> None:
    with pytest.raises(JobFailed) as caught:
        tasks.hang.delay().get(timeout=40)
    assert (caught.value.type, caught.value.attempt) == ("timeout", 2)


def test_a_custom_state_and_its_meta_data_are_read_while_the_task_runs(tasks: ModuleType, tmp_path: Path) -> None:
    result = tasks.upload.delay(str(tmp_path))
    until("the task reports", lambda: result.state == "PROGRESS")
    assert result.info == {"current": 1, "total": 2}
    progress = result.client.status(result.id).progress
    assert progress
    assert progress.fraction == 0.5
    result.revoke()
    (tmp_path / "go on").touch()
    assert result.get(timeout=20) == "uploaded", "a revoke without terminate lets it run"


def test_a_chain_hands_each_result_on(tasks: ModuleType) -> None:
    result = chain(tasks.add.s(2, 2), tasks.add.s(4), tasks.add.s(8))()
    assert result.get(timeout=20) == 16
    assert result.parent.get() == 8
    assert result.parent.parent.get() == 4
    assert (tasks.add.s(4, 16) | tasks.mul.s(2) | tasks.mul.s(4)).delay().get(timeout=20) == 160
    assert chain(tasks.add.s(4), tasks.mul.s(8)).delay(4).get(timeout=20) == 64
    assert (tasks.add.si(2, 2) | tasks.add.si(4, 4)).delay().get(timeout=20) == 8
    assert tasks.add.s(2).delay(4).get(timeout=20) == 6
    assert tasks.add.s(2, y=3).clone(kwargs={"y": 9}).delay().get(timeout=20) == 11


def test_a_chain_ends_with_its_first_failure(tasks: ModuleType) -> None:
    result = (tasks.fail.s("first") | tasks.add.s(1) | tasks.add.s(2)).apply_async()
    with pytest.raises(JobFailed) as caught:
        result.get(timeout=20)
    assert caught.value.type == "parent_failed"
    assert result.parent.parent.state == "FAILURE"


def test_a_group_is_a_batch_with_the_results_in_order(tasks: ModuleType) -> None:
    result = group(tasks.add.s(number, number) for number in range(10))()
    assert isinstance(result, GroupResult)
    assert result.get(timeout=20) == [number * 2 for number in range(10)]
    assert (result.successful(), result.completed_count(), len(result), result.ready()) == (True, 10, 10, True)
    assert result.client.batch(result.id).wait(timeout=20).counts.succeeded == 10
    assert group(tasks.add.s(2), tasks.mul.s(3)).delay(5).get(timeout=20) == [7, 15]
    mixed = group(tasks.fail.s("one"), tasks.add.s(1, 1)).apply_async()
    errors = mixed.get(timeout=20, propagate=False)
    assert isinstance(errors[0], JobFailed)
    assert errors[1] == 2
    assert mixed.failed()
    assert group([]).apply_async().get() == []


def test_a_chord_gets_the_list_of_results(tasks: ModuleType) -> None:
    assert chord(tasks.add.s(number, number) for number in range(100))(tasks.xsum.s()).get(timeout=40) == 9_900
    assert chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], tasks.add.si(3, 3)).delay().get(timeout=20) == 6
    assert (group(tasks.add.s(2, 2), tasks.add.s(4, 4)) | tasks.xsum.s()).delay().get(timeout=20) == 12
    assert chord([])(tasks.xsum.s()).get(timeout=20) == 0
    failed = chord([tasks.add.s(1, 1), tasks.fail.s("one")])(tasks.xsum.s())
    with pytest.raises(JobFailed):
        failed.get(timeout=20)


def test_signatures_are_nested(tasks: ModuleType) -> None:
    add, mul, xsum, flat = tasks.add, tasks.mul, tasks.xsum, tasks.flat
    assert (add.s(1, 1) | group(add.s(1), mul.s(10)) | xsum.s() | add.s(100)).delay().get(timeout=20) == 123
    inner = chain(add.s(1, 1), mul.s(3))
    assert chord([inner, add.s(2, 2)])(xsum.s()).get(timeout=20) == 10
    assert chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)])(flat.s()).get(timeout=20) == [[2, 4], 6]
    ended = (add.s(1, 1) | group(add.s(1), add.s(2) | mul.s(2))).delay()
    assert isinstance(ended, GroupResult)
    assert ended.get(timeout=20) == [3, 8]
    chords = group(chord([add.s(1, 1)], xsum.s()), chord([add.s(2, 2), add.s(3, 3)], xsum.s()))
    assert (chords | xsum.s()).delay().get(timeout=20) == 12


def test_the_first_step_may_wait_and_the_others_may_not(tasks: ModuleType) -> None:
    result = chain(tasks.add.s(1, 1), tasks.add.s(1)).apply_async(countdown=0.2)
    assert result.get(timeout=20) == 3
    with pytest.raises(NotMapped, match="delay_seconds of a task that waits"):
        (tasks.add.s(1, 1) | tasks.add.s(1).set(countdown=3)).delay()
    with pytest.raises(NotMapped, match="needs a body"):
        chord([tasks.add.s(1, 1)]).delay()
    with pytest.raises(NotMapped, match=r"Client\.map"):
        tasks.add.chunks([(1, 1)], 10)


def test_a_task_submits_others_once_and_does_not_wait_for_them(tasks: ModuleType, tmp_path: Path) -> None:
    job_id, steps = tasks.parent.delay(str(tmp_path)).get(timeout=20)
    assert AsyncResult(job_id).get(timeout=20) == "by a task"
    assert steps == 3
    with pytest.raises(JobFailed, match="make a chain"):
        tasks.waits.delay(str(tmp_path)).get(timeout=20)


def test_an_attempt_that_is_repeated_submits_its_canvases_once(system: System, tasks: ModuleType) -> None:
    count = "SELECT count(*) FROM jobs WHERE operation = 'celery_patterns.add'"
    before = system.database.value(count)
    batch, last = tasks.canvases.delay().get(timeout=20)
    assert AsyncResult(last).get(timeout=20) == 4
    assert batch
    assert system.database.value(count) == before + 5
