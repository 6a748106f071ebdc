"""A ceiling: the plain endpoint without any I/O."""

import uuid
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class JobIn(BaseModel):
    """A submission."""

    data: list[float] = Field(min_length=1, max_length=10_000)
    operation: Literal["square_sum", "cube_sum"]


class JobOut(BaseModel):
    """An answer."""

    job_id: uuid.UUID
    status: str


@app.post("/jobs/", status_code=202)
async def create(body: JobIn) -> JobOut:
    """Answer."""
    return JobOut(job_id=uuid.uuid4(), status="PENDING")
