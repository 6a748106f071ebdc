"""A ceiling: the plain endpoint without I/O."""

import uuid

from fastapi import FastAPI

from tests.benchmarks.bodies import JobIn, JobOut

app = FastAPI()


@app.post("/jobs/", status_code=202)
async def create(body: JobIn) -> JobOut:
    """Respond with a new id."""
    return JobOut(job_id=uuid.uuid4(), status="PENDING")
