"""Many large bodies at once leave the event loop free for other requests, such as probes."""

import asyncio
import gc
import time
from collections.abc import Awaitable
from typing import Any, cast

import orjson
import pytest
from rig.settings import settings_from
from starlette.requests import Request

from api.auth.principal import ANYONE
from api.submit.batches.bodies import batch_body, make_batch_id, parse_jobs
from api.submit.operations import CachedOperation, OperationCache
from api.submit.parsing import SubmissionParser
from api.submit.webhooks.known_endpoints import SubmissionWebhooks
from api.web.problems import ProblemError
from api.web.request_body import RequestBodies
from common.domain.errors import JobprocError
from common.store.operations import catalogue

BODIES = 8
#: The longest CPU time between two turns of the event loop; 0.01 to 0.15 at the time of writing, on a busy machine.
MAX_SLICE_S = 0.4
SETTINGS = settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0")


def fill(unit: bytes, before: bytes, after: bytes) -> bytes:
    """Return a body of the byte limit that repeats a unit."""
    return before + unit * ((SETTINGS.max_body_bytes - len(before) - len(after)) // len(unit)) + after


class _Webhooks:
    """No endpoints."""

    async def default(self, _tenant: int) -> None:
        return None


class _Operations:
    """The operation `square_sum`, as if it had been read from a database."""

    def __init__(self) -> None:
        self._operation = CachedOperation(next(spec for spec in catalogue.built_in() if spec.name == "square_sum"))

    async def get(self, _name: str, _field: str = "operation") -> CachedOperation:
        return self._operation


def request_of(raw: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)


async def longest_slice_s(work: Awaitable[Any]) -> float:
    """Run work; return the longest CPU time that passed between two turns of the event loop."""
    task, longest_s, began_s = asyncio.ensure_future(work), 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        longest_s, began_s = max(longest_s, time.thread_time() - began_s), time.thread_time()
    await task
    return longest_s


SINGLE = {
    "arrays": fill(b"[],", b'{"operation":"square_sum","input":[', b"[]]}"),
    "nested arrays": fill(b"[" * 100 + b"]" * 100 + b",", b'{"operation":"square_sum","input":[', b"[]]}"),
    "as many arrays as are accepted": b'{"operation":"square_sum","input":{"data":' + b"[" + b"[]," * 99_000 + b"1]}}",
    "unexpected arrays": b'{"operation":"square_sum","input":{"more":' + b"[" + b"[]," * 99_000 + b"1]}}",
    "numbers": fill(b"1,", b'{"operation":"square_sum","input":{"more":[', b"1]}}"),
}
BATCHES = {
    "arrays": fill(b"[],", b'[{"operation":"square_sum","input":[', b"[]]}]"),
    "unique keys": orjson.dumps(
        [{"data": [1], "operation": "square_sum", "unique": {"key": f"{number}"}} for number in range(10_000)]
    ),
}


@pytest.mark.parametrize(
    ("raw", "is_batch"),
    [*((raw, False) for raw in SINGLE.values()), *((raw, True) for raw in BATCHES.values())],
    ids=[*SINGLE, *(f"batch: {name}" for name in BATCHES)],
)
def test_many_large_bodies_at_once_leave_the_event_loop_free(raw: bytes, is_batch: bool) -> None:
    parser = SubmissionParser(SETTINGS, cast("OperationCache", _Operations()), cast("SubmissionWebhooks", _Webhooks()))
    bodies = RequestBodies(SETTINGS)

    async def submit() -> None:
        try:
            async with bodies.json(request_of(raw)) as body:
                await (
                    parse_jobs(parser, ANYONE, batch_body(body), make_batch_id(), 10_000)
                    if is_batch
                    else parser.parse(body, ANYONE)
                )
        except (ProblemError, JobprocError):
            return

    async def submit_all() -> None:
        await asyncio.gather(*[submit() for _ in range(BODIES)])

    gc.collect()
    gc.freeze()  # as the API does at its start
    try:
        longest_s = asyncio.run(longest_slice_s(submit_all()))
    finally:
        gc.unfreeze()
    assert longest_s < MAX_SLICE_S
