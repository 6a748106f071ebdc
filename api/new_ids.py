"""New ids, made of the clock and of chance from the operating system."""

import secrets
import time
from uuid import UUID

from common.domain.job import new_job_id


def new_job_id_now() -> UUID:
    """Return a new id of a job, or of something else that has ids of that kind."""
    return new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
