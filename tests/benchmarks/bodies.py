"""Request and response bodies of the plain endpoints that jobproc is compared with."""

import uuid
from typing import Literal

from pydantic import BaseModel, Field


class JobIn(BaseModel):
    """A submission."""

    data: list[float] = Field(min_length=1, max_length=10_000)
    operation: Literal["square_sum", "cube_sum"]


class JobOut(BaseModel):
    """A response to a submission."""

    job_id: uuid.UUID
    status: str
