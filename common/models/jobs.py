"""Jobs: submissions, unfinished jobs, outcomes of runs, ended attempts, and rows that only some jobs have."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import REAL, Boolean, CheckConstraint, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Job(Base):
    """A submission. Only its input may change: retention deletes it. Deleted with its partition, or after `keep_s`.

    The id is a UUIDv7, which begins with its time, so the partition is found from the id alone.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        CheckConstraint("max_attempts BETWEEN 1 AND 1000", name="max_attempts_range"),
        CheckConstraint("timeout_ms > 0", name="timeout_positive"),
        CheckConstraint("on_parent_failure IN ('fail', 'skip', 'run')", name="on_parent_failure_known"),
        Index("jobs_tenant_id", "tenant", "id", postgresql_where=text("tenant <> 1")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    run_at: Mapped[datetime | None]  #: not claimable before then; None: at once
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))  #: whose job it is
    timeout_ms: Mapped[int | None] = mapped_column(Integer)  #: time limit of one attempt; None: no limit
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))  #: 0 is claimed first
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    queue: Mapped[str]
    operation: Mapped[str]
    trace: Mapped[str | None]  #: W3C traceparent of the request
    #: as submitted. json, not jsonb: the text is kept as it is, and a third less is written. None: deleted by retention
    input: Mapped[Json | None]
    deadline: Mapped[datetime | None]  #: a job unfinished by then ends FAILED; None: no deadline
    retry_base_s: Mapped[float | None]  #: None: the operation's default
    retry_cap_s: Mapped[float | None]
    #: retention in seconds after its end; None: as in the settings
    keep_s: Mapped[int | None] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  #: of its operation
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    metadata_: Mapped[Json | None] = mapped_column("metadata")  #: of the client; returned as submitted
    unique_key: Mapped[str | None]
    unique_while: Mapped[str | None]  #: waiting, running or both
    submitted_by: Mapped[str | None]  #: the subject of the caller; None: callers were not authenticated
    node: Mapped[str | None]  #: its name in its workflow; None: it is in none
    on_parent_failure: Mapped[str | None]  #: fail, skip or run; None without parents
    #: jobs for which it waits, the latest first; None: it waits for none. What its workflow gains later is in `grown`
    parents: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    children: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))  #: jobs that wait for it alone
    joins: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))  #: jobs that wait for it and for others
    concurrency_key: Mapped[str | None]  #: jobs of the queue with this key have limits of their own
    webhook: Mapped[UUID | None]  #: the endpoint that is told of the end of each run; None: nobody is


class Live(Base):
    """An unfinished job. `worker` is set if and only if the job is IN_PROGRESS.

    No index has a column that a claim changes, so a claim is a HOT update. Fillfactor 45 leaves room on the page for
    a second version of all its rows, which is longer by `worker` and `started_at`. Autovacuum starts after 5,000 dead
    rows at any size of the table, and runs without cost delay.
    """

    __tablename__ = "live"
    __table_args__ = (
        CheckConstraint("(worker IS NULL) = (started_at IS NULL)", name="held_has_start"),
        CheckConstraint("attempt >= 0 AND released BETWEEN 0 AND attempt", name="attempt_range"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress_range"),
        CheckConstraint(
            "claimable_at < 'infinity' OR (worker IS NULL AND (due_since IS NULL OR ("
            "num_nonnulls(running_key, concurrency_key) = 1 AND needs IS NOT NULL)))",
            name="parked_waits_for_a_key",
        ),
        Index("live_due", "queue", "priority", "claimable_at", "id"),
        # For claims by line (common/store/tenancy/line_index.py). Its condition holds for every row. SQLAlchemy has no
        # option for a collation, and writes operator classes where it belongs.
        Index(
            "live_line",
            *("queue", "tenant", "priority", "claimable_at", "id"),
            postgresql_ops={"queue": 'COLLATE "C"'},
            postgresql_where=text("priority < 10"),
        ),
        # For lists. Of an expression, which policies and other statements do not have: a plan from an empty table might
        # otherwise read all rows of a tenant for what `live_due` finds.
        Index("live_tenant_id", text("(tenant::bigint)"), "id", postgresql_where=text("tenant <> 1")),
        # Only jobs with a key that is held while they run are in these: the waking of a job reads both.
        Index(
            "live_running_key",
            *("tenant", "running_key", "queue", "needs", "priority", "claimable_at", "id"),
            postgresql_where=text("running_key IS NOT NULL AND claimable_at < 'infinity'"),
        ),
        Index(
            "live_parked",
            *("tenant", "running_key", "queue", "needs", "priority", "due_since", "id"),
            postgresql_where=text("claimable_at = 'infinity' AND due_since IS NOT NULL"),
        ),
        # Only jobs that wait for parents are in it: the controller asks for each of them in turn.
        Index("live_blocked", "id", postgresql_where=text("claimable_at = 'infinity' AND due_since IS NULL")),
        Index(
            "live_limited",
            *("tenant", "queue", "concurrency_key", "needs", "claimable_at"),
            postgresql_where=text("concurrency_key IS NOT NULL AND claimable_at < 'infinity'"),
        ),
        Index(
            "live_limited_parked",
            *("tenant", "queue", "concurrency_key", "needs", "priority", "due_since", "id"),
            postgresql_where=text(
                "concurrency_key IS NOT NULL AND claimable_at = 'infinity' AND due_since IS NOT NULL"
            ),
        ),
        {
            "postgresql_with": {
                "fillfactor": "45",
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "5000",
                "autovacuum_vacuum_cost_delay": "0",
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    #: since or from when it is claimable, by the database's clock: its position in the queue. Infinity: it is
    #: parked, or without `due_since` it waits for parents
    claimable_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    worker: Mapped[int | None]  #: the worker process that holds it
    rev: Mapped[int] = mapped_column(server_default=text("0"))  #: revision, +1 with each change
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    progress: Mapped[float | None] = mapped_column(server_default=None)  #: 0 to 1, as reported by the operation
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    #: claims so far; with `worker` the fence of every write
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    #: released attempts, which are not charged
    released: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    #: +1 on each manual retry, and on each undo of a cancel
    run: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    #: the running attempt is asked to stop
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    queue: Mapped[str]
    progress_text: Mapped[str | None]
    #: the operation that a worker must know; from version 2 on with `@` and the version
    needs: Mapped[str | None]
    #: it may have crashed a process, so it runs alone in one
    isolated: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    #: attempts that certainly crashed their process
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    running_key: Mapped[str | None]  #: the unique key that the job holds while it runs
    #: since when a job that was parked has been due: its place among the parked ones
    due_since: Mapped[datetime | None]
    #: the job's concurrency key; None also after a manual retry, until the job waits for it
    concurrency_key: Mapped[str | None]


class Outcome(Base):
    """The end of a run of a job, and the attempt that ended it. Append-only; deleted with its partition."""

    __tablename__ = "outcomes"
    __table_args__ = (
        CheckConstraint("status IN ('SUCCESS', 'FAILED', 'CANCELLED')", name="status_known"),
        CheckConstraint("(status = 'SUCCESS') = (result IS NOT NULL)", name="success_has_result"),
        CheckConstraint("(status = 'FAILED') = (error_type IS NOT NULL)", name="failed_has_error"),
        # For lists. Without successes, which are nearly all rows: an index of those would cost 2 to 5 % of the jobs/s.
        Index("outcomes_unsuccessful_id", "tenant", "id", postgresql_where=text("status <> 'SUCCESS'")),
        Index(
            "outcomes_unsuccessful_finished_at",
            *("tenant", "finished_at", "id"),
            postgresql_where=text("status <> 'SUCCESS'"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    run: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    rev: Mapped[int]
    worker: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    released: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str]
    result: Mapped[Json | None]
    error_type: Mapped[str | None]
    error_text: Mapped[str | None]
    traceback: Mapped[str | None]  #: None: no code of the operation raised
    #: in the operation; the rest of the time is overhead. None: not measured
    execution_s: Mapped[float | None] = mapped_column(REAL)
    cpu_s: Mapped[float | None] = mapped_column(REAL)  #: of its process meanwhile
    peak_mib: Mapped[float | None] = mapped_column(REAL)  #: highest memory of its process while its batch ran


class Attempt(Base):
    """An attempt that did not end its run: retried, lost or released. Append-only; deleted with its partition.

    The last attempt of a run is in its outcome.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("outcome IN ('error', 'permanent', 'timeout', 'lost', 'released')", name="outcome_known"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    run: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    worker: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    retry_at: Mapped[datetime]  #: from when the job was claimable again
    outcome: Mapped[str]  #: error, permanent, timeout, lost or released
    error_type: Mapped[str]
    error_text: Mapped[str]
    traceback: Mapped[str | None]
    #: in the operation; the rest of the time is overhead. None: not measured
    execution_s: Mapped[float | None] = mapped_column(REAL)
    cpu_s: Mapped[float | None] = mapped_column(REAL)  #: of its process meanwhile
    peak_mib: Mapped[float | None] = mapped_column(REAL)  #: highest memory of its process while its batch ran


class JobLog(Base):
    """Some lines of an attempt's log, in their order. Append-only, but for lines that are no longer among the last."""

    __tablename__ = "job_logs"
    __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    run: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    last_line: Mapped[int] = mapped_column(Integer, primary_key=True)  #: the number of the last of these lines
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    total_bytes: Mapped[int]  #: of all lines of the attempt up to the last of these
    lines: Mapped[Json]  #: an array of objects


class RunRow(Base):
    """A further run of a job, by a manual retry or by the undo of a bulk action's cancel, with its input.

    Earlier runs keep theirs.
    """

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    run: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    input: Mapped[Json | None]  #: None: the input of the run before
    #: continues the run that was cancelled; False: starts anew
    undo: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class Tag(Base):
    """A tag of a job. Deleted with its partition."""

    __tablename__ = "tags"
    __table_args__ = (Index("tags_tag_id", "tenant", "tag", "id"), {"postgresql_partition_by": "RANGE (id)"})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    tag: Mapped[str] = mapped_column(primary_key=True)


class Deadline(Base):
    """The deadline of a job, until the controller has enforced it. Only jobs with a deadline have a row."""

    __tablename__ = "deadlines"
    __table_args__ = (Index("deadlines_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    at: Mapped[datetime]


class Expiry(Base):
    """A job with its own retention (`keep_s`), which retention by settings skips. Deleted together with the job."""

    __tablename__ = "expiries"
    __table_args__ = (Index("expiries_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    at: Mapped[datetime]  #: when the controller checks it next
