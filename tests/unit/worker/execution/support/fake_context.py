"""A Context without a worker."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Never

from jobproc import Cancelled, Parent


@dataclass
class FakeContext:
    """The Context of an attempt without a worker."""

    job_id: str = "some-id"
    attempt: int = 1

    cancelled: bool = False

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled

    deadline: datetime | None = None
    tags: tuple[str, ...] = ()
    logger = logging.getLogger("test")

    @property
    def metadata(self) -> dict[str, Any]:
        return {}

    @property
    def parents(self) -> dict[str, Parent]:
        return {}

    def submit(self, *_arguments: object, **_options: object) -> Never:
        raise AssertionError("no test here submits")

    async def submit_async(self, *_arguments: object, **_options: object) -> Never:
        raise AssertionError("no test here submits")

    def submit_workflow(self, *_arguments: object, **_options: object) -> Never:
        raise AssertionError("no test here submits")

    async def submit_workflow_async(self, *_arguments: object, **_options: object) -> Never:
        raise AssertionError("no test here submits")

    def add_job(self, *_arguments: object, **_options: object) -> Never:
        raise AssertionError("no test here adds a job")

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        return fraction is not None or text is None
