"""Tenants, their jobs, and worker processes whose claims are fair between them."""

from collections.abc import Sequence

from integration.store.support.storage import Claimer, Storage
from rig.system import until

from common.domain.job import ClaimedJob
from common.store.jobs.fair_claims import QueueClaims
from common.store.jobs.lines import Tenants
from common.store.queues import line_strays, queue_state
from common.store.workers import leases
from common.store.workers.results import Results
from worker.execution.worker_session import release_all

JOB_S = 0.001  # how long the jobs of these tests take


class FairClaimer(Claimer):
    """A worker process that shares its claims between tenants, and looks which of them wait at each claim."""

    def __init__(self, storage: Storage, queue: str = "default", *, default_max_running_jobs: int = 0) -> None:
        super().__init__(storage, 300, queue)
        self.tenants = Tenants(default_max_running_jobs)
        self.known = QueueClaims(queue, self.tenants, 0.05)
        self.job_s: dict[int, float] = {}  #: by tenant

    def claim(self, limit: int = 100) -> list[ClaimedJob]:
        self.tenants._read_at = self.known._look_at = float("-inf")  # a test waits for no interval
        return self.known.settle_and_claim(self.connection, self.id, Results(), limit)[1]

    def run(self, limit: int = 100) -> list[ClaimedJob]:
        """Claim jobs, and end them as if they had run."""
        jobs = self.claim(limit)
        for job in jobs:
            self.known.share.ran(job.tenant, self.job_s.get(job.tenant, JOB_S))
        self.settle(jobs)
        return jobs

    def die(self) -> None:
        """End the lease and release the jobs; again while other transactions have rows of them locked."""

        def has_ended() -> bool:
            release_all(self.connection, self.id)
            return bool(self.storage.value("SELECT ended_at IS NOT NULL FROM workers WHERE id = %s", (self.id,)))

        until("the lease has ended", has_ended, 10)

    def renew(self, lease_s: float = 300) -> bool:
        low, lines = self.known.low_water_marks, self.known.line_marks
        renewal = leases.LeaseRenewal(self.id, 0, {self.queue: low} if low else {}, line_marks={self.queue: lines})
        return self.id in leases.renew(self.connection, lease_s, [renewal])


def add_tenants(storage: Storage, count: int, **weights: float) -> None:
    """Add tenants up to the number `count`; `weights` by name, such as t2=3."""
    for number in range(2, count + 1):
        storage.rows(
            """INSERT INTO tenants (id, name, weight, created_at, changed_at) OVERRIDING SYSTEM VALUE
               VALUES (%s, %s, %s, now() - interval '1 h', now() - interval '1 h')""",
            (number, f"t{number}", weights.get(f"t{number}", 1)),
        )


def suspend(storage: Storage, tenant: int, state: str = "SUSPENDED") -> None:
    storage.rows("UPDATE tenants SET state = %s, changed_at = clock_timestamp() WHERE id = %s", (state, tenant))


def fill(
    storage: Storage,
    tenant: int,
    count: int,
    claimable_at: str = "clock_timestamp()",
    *,
    queue: str = "default",
    priority: int = 5,
) -> list[str]:
    """Store jobs of a tenant; `claimable_at` is SQL. Returns their ids in the order of their places."""
    rows = storage.rows(
        f"""WITH new AS (INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts, priority)
             SELECT uuidv7(), %s, 'square_sum', %s, '{{"data":[1,2,3]}}', 3, %s FROM generate_series(1, %s)
             RETURNING id, tenant, queue, priority)
         INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at)
         SELECT id, tenant, queue, priority, 3, {claimable_at} FROM new RETURNING id::text, claimable_at""",
        (tenant, queue, priority, count),
    )
    return [job_id for job_id, at in sorted(rows, key=lambda row: (row[1], row[0]))]


def by_tenant(jobs: Sequence[ClaimedJob]) -> dict[int, int]:
    """Return the number of jobs by tenant."""
    counts: dict[int, int] = {}
    for job in jobs:
        counts[job.tenant] = counts.get(job.tenant, 0) + 1
    return counts


def requeue_strays(storage: Storage, since_s: float | None = 60.0, limit: int = 100) -> list[str]:
    """Requeue strays as the controller does."""
    connection = storage.connection(by_index=False)
    return [
        *queue_state.requeue_strays(connection, since_s, limit),
        *line_strays.requeue_line_strays(connection, since_s, limit),
    ]
