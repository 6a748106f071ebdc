"""The client when connections break, the API is away or full: each job is stored once, and streams go on."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from rig.proxy import Proxy
from rig.system import System, until

from jobproc import Client
from jobproc.client import RetryPolicy
from jobproc.client.errors import ConnectionFailed

PATIENT = RetryPolicy(max_tries=40, base_s=0.05, cap_s=0.3)


@pytest.fixture
def proxy(shared: System) -> Iterator[Proxy]:
    proxy = Proxy(shared.port)
    yield proxy
    proxy.close()


def later(action: Callable[[], object], seconds: float) -> None:
    threading.Timer(seconds, action).start()


def test_a_submission_whose_response_is_lost_is_stored_once(shared: System, proxy: Proxy) -> None:
    with Client(retries=PATIENT, url=f"http://127.0.0.1:{proxy.port}") as client:
        later(proxy.reset, 0.5)
        assert client.run("linger", {"data": [1.5]}, timeout=20, tags=["once"]) is not None
        assert [job.status for job in client.list(tag="once")] == ["SUCCESS"]
        assert proxy.accepted > 1, "the connection was lost while the job ran"


def test_a_wait_goes_on_over_lost_connections(proxy: Proxy) -> None:
    with Client(retries=PATIENT, url=f"http://127.0.0.1:{proxy.port}") as client:
        job = client.submit("linger", {"data": [2]})
        for seconds in (0.3, 0.8, 1.3):
            later(proxy.reset, seconds)
        assert job.result(timeout=20) is not None
        assert proxy.accepted >= 3


def test_a_stream_is_resumed_behind_its_last_event(proxy: Proxy) -> None:
    with Client(retries=PATIENT, url=f"http://127.0.0.1:{proxy.port}") as client:
        job = client.submit("linger", {"data": [2]})
        later(proxy.reset, 0.7)
        events = [(event.name, event.status, event.attempt) for event in job.events()]
        assert events[-1] == ("status", "SUCCESS", 1)
        assert len(events) == len(set(events)), "no event comes twice"
        assert proxy.accepted >= 2


def test_a_map_over_lost_connections_has_each_job_once(shared: System, proxy: Proxy) -> None:
    stop = threading.Event()

    def reset_often() -> None:
        while not stop.wait(0.2):
            proxy.reset()

    with Client(retries=PATIENT, url=f"http://127.0.0.1:{proxy.port}") as client, ThreadPoolExecutor(1) as pool:
        resets = pool.submit(reset_often)
        jobs = client.map("square_sum", ({"data": [number]} for number in range(3_000)), window=800, tags=["lossy"])
        found = [job.result() for job in jobs]
        stop.set()
        resets.result()
    assert found == [float(number * number) for number in range(3_000)]
    stored = shared.database.value("SELECT count(*) FROM jobs WHERE tags @> ARRAY['lossy']")
    assert stored == 3_000


def test_the_client_waits_for_an_api_that_starts_again(system: System) -> None:
    system.api().worker()
    with Client(retries=PATIENT, url=str(system.client.base_url)) as client:
        system.end("api")
        with ThreadPoolExecutor(1) as pool:
            submitted = pool.submit(client.submit, "noop", {"data": [1]}, idempotency_key="restart")
            until("the client has tried", submitted.running)
            system.api("next")
            job = submitted.result()
        assert job.result(timeout=20) is not None
        system.end("next")
        with pytest.raises(ConnectionFailed, match="/status"):
            Client(retries=RetryPolicy(max_tries=2, base_s=0.01), url=client.url).status(job.id)


def test_a_full_api_is_asked_again(system: System) -> None:
    system.all(JOBPROC_LONG_POLL_MAX_CLIENTS="1")
    with Client(retries=PATIENT, url=str(system.client.base_url)) as client, ThreadPoolExecutor(3) as pool:
        began = time.monotonic()
        runs = [pool.submit(client.run, "linger", {"data": [0.5]}, timeout=30) for _ in range(3)]
        assert all(run.result() is not None for run in runs)
        assert time.monotonic() - began < 30
        assert client.page(limit=10).jobs[2:]
        assert len(client.page(limit=10).jobs) == 3, "a refused wait had stored nothing"
