"""Maps: many jobs of one operation, in order or as they end, and the proxies of operations."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from rig.system import System

from jobproc import AsyncClient, Client, remote
from jobproc.client import JobFailed


@remote("square_sum")
def square_sum(data: list[float]) -> float:
    """Return the sum of the squares."""
    raise NotImplementedError


@pytest.fixture(scope="module")
def client(shared: System) -> Iterator[Client]:
    with Client(url=str(shared.client.base_url)) as made:
        yield made


def test_results_come_in_the_order_of_the_inputs(client: Client) -> None:
    jobs = client.map("square_sum", ({"data": [number]} for number in range(1_500)), window=400, tags=["mapped"])
    assert [job.result() for job in jobs] == [float(number * number) for number in range(1_500)]
    assert client.page(tag="mapped", limit=1).jobs


def test_no_more_jobs_than_the_window_are_on_their_way(client: Client) -> None:
    taken = 0

    def endless() -> Iterator[dict[str, list[int]]]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield {"data": [number]}

    for number, job in enumerate(client.map("square_sum", endless(), window=40)):
        assert job.result() == float(number**2)
        assert taken - number <= 41
        if number == 300:
            break


def test_a_slow_job_holds_back_no_other_one_as_they_end(client: Client) -> None:
    slow = client.submit("sleep", {"data": [3]})
    quick = [client.submit("square_sum", {"data": [number]}) for number in range(3)]
    order = [job.id for job in client.as_completed([slow, *quick], timeout=20)]
    assert set(order[:3]) == {job.id for job in quick}
    assert order[3] == slow.id
    with pytest.raises(TimeoutError, match="1 of 1"):
        list(client.as_completed([client.submit("noop", {"data": [1]}, delay_seconds=100)], timeout=0.2))


def test_a_failed_job_of_a_map_raises_where_its_result_is_read(client: Client) -> None:
    inputs = [{"data": [0]}, {"data": [9]}]
    good, bad = client.map("fail_times", inputs, max_attempts=1)
    assert good.result() == 1
    with pytest.raises(JobFailed) as caught:
        bad.result()
    assert caught.value.attempt == 1


def test_a_large_result_is_read_when_it_is_wanted(client: Client) -> None:
    (job,) = client.map("say", [{"data": [1]}])
    assert job.result() is not None
    assert client.gather([client.submit("square_sum", {"data": [2]}), client.submit("cube_sum", {"data": [2]})]) == [
        4.0,
        8.0,
    ]


def test_a_proxy_is_called_as_the_function_is(client: Client) -> None:
    square = square_sum.using(client)
    assert square([1, 2]) == 5.0
    job = square.options(priority=0, tags=["proxied"]).submit([3])
    assert job.result(timeout=15) == 9.0
    assert job.details().priority == 0
    assert [mapped.result() for mapped in client.map(square, [[1], [2]])] == [1.0, 4.0]
    with client.batch() as batch:
        first = batch.submit(square, [4])
        second = batch.submit("cube_sum", {"data": [1]})
    assert (first.result(timeout=15), second.result(timeout=15)) == (16.0, 1.0)


def test_the_async_client_maps_an_asynchronous_source(shared: System) -> None:
    async def source() -> AsyncIterator[list[float]]:
        for number in range(250):
            await asyncio.sleep(0)
            yield [number]

    async def use() -> None:
        async with AsyncClient(url=str(shared.client.base_url)) as client:
            square = square_sum.using(client)
            found = [await job.result() async for job in client.map(square, source(), window=100)]
            assert found == [float(number * number) for number in range(250)]
            assert await square([2]) == 4.0
            jobs = [await square.submit([number]) for number in range(3)]
            assert await client.gather(jobs) == [0.0, 1.0, 4.0]

    asyncio.run(use())
