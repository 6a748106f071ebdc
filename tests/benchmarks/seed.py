"""The baseline, Celery by hand: sync SQLAlchemy in async endpoints, a `.delay()` and a task a job, acked early."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from celery import Celery
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import create_engine, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from common.command_line import command_line
from tests.benchmarks.bodies import JobIn, JobOut

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://").replace("postgresql://", "postgresql+psycopg2://")


class Base(DeclarativeBase):
    """Declarative base class."""


class Job(Base):
    """The only table."""

    __tablename__ = "seed_jobs"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    operation: Mapped[str]
    data: Mapped[list[Any]] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(default="PENDING")
    result: Mapped[float | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


engine = create_engine(DATABASE_URL)
sessions = sessionmaker(engine)
celery = Celery("seed", broker=os.environ.get("REDIS_URL"))
app = FastAPI()


class ResultOut(JobOut):
    """A response with the result."""

    result: float | None = None


async def get_db() -> Iterator[Session]:  # type: ignore[misc]  # as in the usual FastAPI tutorial
    """Yield a session."""
    with sessions() as db:
        yield db


Db = Annotated[Session, Depends(get_db)]


@app.post("/jobs/", status_code=202)
async def create(body: JobIn, db: Db) -> JobOut:
    """Store the job and send its task."""
    job = Job(operation=body.operation, data=body.data)
    db.add(job)
    db.commit()
    db.refresh(job)
    process.delay(str(job.id))
    return JobOut(job_id=job.id, status=job.status)


@app.get("/jobs/{job_id}/result")
async def result(job_id: uuid.UUID, db: Db) -> ResultOut:
    """Read the job."""
    job = db.get(Job, job_id)
    if job is None:
        raise HTTPException(404)
    return ResultOut(job_id=job.id, status=job.status, result=job.result)


@celery.task(name="seed.process", ignore_result=True)
def process(job_id: str) -> None:
    """Run the job."""
    with sessions() as db:
        job = db.get_one(Job, uuid.UUID(job_id))
        job.status, job.started_at = "IN_PROGRESS", datetime.now(UTC)
        db.commit()
        power = {"square_sum": 2, "cube_sum": 3}[job.operation]
        job.result = float(sum(x**power for x in job.data))
        job.status, job.finished_at = "SUCCESS", datetime.now(UTC)
        db.commit()


def load(jobs: int) -> None:
    """Store jobs and send their tasks in bulk."""
    rows = [{"id": uuid.uuid4(), "operation": "square_sum", "data": [1, 2, 3]} for _ in range(jobs)]
    with sessions() as db:
        db.execute(insert(Job), rows)
        db.commit()
    with celery.producer_pool.acquire() as producer:
        for row in rows:
            process.apply_async((str(row["id"]),), producer=producer)


def main() -> None:
    """Create the tables, and load a backlog if the arguments name one."""
    parser = command_line("tests.benchmarks.seed", __doc__)
    parser.add_argument("jobs", type=int, nargs="?", default=0, help="jobs to load")
    jobs = parser.parse_args().jobs
    Base.metadata.create_all(engine)
    if jobs:
        load(jobs)


if __name__ == "__main__":
    main()
