"""Messages made to end a worker or to keep it busy: its parent and its processes stay the same, and jobs run."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis
from rig.hostile_messages import forged, fuzzed, huge, with_hostile_ids
from rig.scrape import MetricsPage
from rig.system import System, until

from common.broker.doorbells import celery_queue

KEY = celery_queue("default")


def _push_and_run_a_job(system: System, texts: Iterable[bytes], limit_s: float = 10) -> None:
    """Fail unless the worker takes all texts and runs a job afterwards, in the processes that it had before."""
    parent, children = system.processes["worker"], system.children()
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        client.lpush(KEY, *texts)
        until("the worker has taken the messages or ended", lambda: not client.llen(KEY) or parent.poll() is not None)
        assert parent.poll() is None, "the worker has ended"
        job = system.wait(system.submit("noop", 1), limit_s)
        assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
        until("the worker has taken the doorbell", lambda: not client.llen(KEY), limit_s)
    assert parent.poll() is None
    assert system.children() == children


def test_doorbells_with_hostile_ids_end_no_process(system: System) -> None:
    """An object as an id, or a list as a delivery tag, ended the worker with the jobs of all its processes."""
    system.worker(concurrency=2).api()
    texts = list(with_hostile_ids())
    _push_and_run_a_job(system, texts)
    assert 1 <= sum(line["count"] for line in system.events("worker", "invalid_message_dropped")) <= len(texts)


def test_fuzzed_messages_end_no_process(system: System) -> None:
    """The unit tests of the transport fuzz more; here Celery and its processes are real."""
    system.worker(concurrency=2).api()
    _push_and_run_a_job(system, fuzzed(seed=14, count=2_000), limit_s=20)


def test_no_lease_is_lost_to_a_message_of_thirty_megabytes(system: System) -> None:
    """Its parent renews the leases of two seconds, and parsed such a message for longer than that."""
    system.worker(concurrency=2).api()
    _push_and_run_a_job(system, [huge()] * 3, limit_s=2)
    assert not system.events("worker", "lease_lost")
    assert system.events("worker", "invalid_message_dropped")


def _claims(page: MetricsPage) -> float:
    return page.total("jobproc_empty_claims_total") + page.total("jobproc_claim_jobs_count")


@contextmanager
def _stream(url: str, texts: list[str]) -> Iterator[None]:
    """Push 1,000 texts a second, in another thread."""
    ended = threading.Event()

    def push() -> None:
        with redis.Redis.from_url(url) as client:
            while not ended.wait(0.02):
                client.lpush(KEY, *texts)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_forged_doorbells_cause_few_claims_and_delay_jobs_by_less_than_a_tick(system: System) -> None:
    """Each caused a claim: 20,000 of them took 20 s, with a thousand transactions a second."""
    page, url = MetricsPage(), system.env["REDIS_URL"]
    system.worker(concurrency=2, JOBPROC_METRICS_PORT=page.port, JOBPROC_TICK_SECONDS="5").api()
    with redis.Redis.from_url(url) as client:
        client.lpush(KEY, *forged(20_000))
        until("the list is empty", lambda: not client.llen(KEY), 5)
    with _stream(url, forged(20)):
        before, began = _claims(page), time.monotonic()
        jobs = [system.wait(system.submit("noop", n), 3) for n in range(10)]
        until("two seconds are over", lambda: time.monotonic() - began > 2)
        assert {job["status"] for job in jobs} == {"SUCCESS"}
        # 20 a second, up to eleven more after each job, and those of the idle poll.
        assert _claims(page) - before < 30 * (time.monotonic() - began) + 12 * len(jobs)
