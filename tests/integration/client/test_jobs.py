"""The client on a running system: jobs, from submission to result, for both kinds of clients."""

import asyncio
import time
import uuid
from collections.abc import Iterator

import pytest
from rig.system import System

from jobproc import AsyncClient, Client
from jobproc.client import JobCancelled, JobFailed, WaitTimeout
from jobproc.client.problems import InvalidBody, JobNotFound, UniqueConflict, UnknownOperation


@pytest.fixture(scope="module")
def client(shared: System) -> Iterator[Client]:
    with Client(url=str(shared.client.base_url)) as made:
        yield made


def test_a_job_is_submitted_and_its_result_read(client: Client) -> None:
    job = client.submit("square_sum", {"data": [1, 2, 3]}, priority=0, tags=["vip"])
    assert job.result(timeout=15) == 14.0
    assert job.status() == "SUCCESS"
    details = job.details()
    assert (details.tags, details.priority, details.input) == (["vip"], 0, {"data": [1, 2, 3]})
    assert client.run("cube_sum", {"data": [2]}, timeout=15) == 8.0


def test_a_failure_has_its_type_text_and_attempt(client: Client) -> None:
    job = client.submit("fail_times", {"data": [3]}, max_attempts=1)
    with pytest.raises(JobFailed) as caught:
        job.result(timeout=15)
    assert (caught.value.job_id, caught.value.attempt) == (job.id, 1)
    assert caught.value.type
    assert caught.value.text


def test_a_wait_ends_in_time_and_the_job_goes_on(client: Client) -> None:
    job = client.submit("noop", {"data": [1]}, delay_seconds=1_000)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=job.id) as caught:
        job.result(timeout=0.3)
    assert time.monotonic() - began < 5
    assert isinstance(caught.value, WaitTimeout)
    assert job.why().reasons[0].code == "not_due"
    assert job.cancel().status == "CANCELLED"
    with pytest.raises(JobCancelled):
        job.result()
    assert job.retry({"data": [4]}).run == 1
    assert job.input() == {"data": [4]}


def test_errors_have_a_type_their_fields_and_the_id_of_the_request(client: Client) -> None:
    with pytest.raises(InvalidBody) as invalid:
        client.submit("noop", {"data": [1]}, priority=11)
    assert [field for field, _ in invalid.value.fields] == ["priority"]
    assert invalid.value.request_id in str(invalid.value)
    with pytest.raises(UnknownOperation):
        client.submit("unknown", {})
    with pytest.raises(JobNotFound):
        client.get(str(uuid.uuid4()))
    first = client.submit("noop", {"data": [1]}, delay_seconds=100, unique={"key": "one"})
    with pytest.raises(UniqueConflict) as conflict:
        client.submit("noop", {"data": [1]}, unique={"key": "one"})
    assert conflict.value.body["job_id"] == first.id


def test_a_list_has_the_jobs_of_all_pages(client: Client) -> None:
    with client.batch() as batch:
        jobs = [batch.submit("noop", {"data": [number]}, tags=["listed"]) for number in range(230)]
    assert batch.wait(timeout=20).counts.succeeded == 230
    assert {job.job_id for job in client.list(tag="listed")} == {job.id for job in jobs}
    assert len(list(client.list(tag="listed", most=7))) == 7
    page = client.page(tag="listed", limit=5)
    assert len(page.jobs) == 5
    assert page.next


def test_events_follow_a_job_to_its_end(client: Client) -> None:
    job = client.submit("noop", {"data": [1]})
    events = list(job.events())
    assert events[-1].status == "SUCCESS"
    assert [event.status for event in client.job(job.id).events()] == ["SUCCESS"]


def test_the_async_client_has_the_same_verbs(shared: System) -> None:
    async def use() -> None:
        async with AsyncClient(url=str(shared.client.base_url)) as client:
            job = await client.submit("square_sum", {"data": [1, 2]})
            assert await job.result(timeout=15) == 5.0
            assert [event.status async for event in job.events()] == ["SUCCESS"]
            assert await client.run("cube_sum", {"data": [2]}) == 8.0
            async with client.batch() as batch:
                for number in range(3):
                    await batch.submit("noop", {"data": [number]}, tags=["listed async"])
            assert (await batch.wait(timeout=20)).counts.succeeded == 3
            assert len([item async for item in client.list(tag="listed async")]) == 3
            assert (await client.get(job.id)).status == "SUCCESS"

    asyncio.run(use())
