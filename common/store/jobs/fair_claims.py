"""The claims of one worker process in one queue, fair between tenants.

While one tenant waits, and in an installation with one tenant always, a claim is that of `claims.py`. A claim that
comes back full makes the process look who else waits. While several wait it claims by line, those first that it has
served least; news of who has come are read at intervals. When the lines but one are at their end, it goes back.

A queue that has a policy is claimed by line too, and each claim reads the policies (limits/policy_claims.py). The other
claims take nothing of it: the first of them that is refused makes the process read the policies, until there are none.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import psycopg2

from common.domain.job import PRIORITIES, ClaimedJob
from common.domain.tenancy.fair_share import FairShare
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.connection.statement import Row, array_literal
from common.store.jobs import claims
from common.store.jobs.limits.policy_claims import SETTLE_AND_CLAIM_UNDER_POLICIES, JobsInHand, KnownPolicies
from common.store.jobs.lines import NEW_BANDS, OTHERS, SETTLE_AND_CLAIM_BY_LINE, WAITING_BANDS, Tenants
from common.store.workers.low_water_marks import NIL_UUID, LowWaterMarks
from common.store.workers.results import Results

#: After so long, or if so many jobs have come, it is cheaper to look at all lines.
NEWS_UP_TO_S, MAX_NEWS = 2.0, 3_000
LOOK_SHARE = 25  # looks take a twenty-fifth of the time, if that is often enough
MAX_BANDS = 10_000  # found by one look; the next one goes on from there
BEFORE_ALL_BANDS = (0, -1)

Mark = tuple[str, str]  # claimable_at and id, as low-water marks
Bands = dict[int, dict[int, Mark]]  # by tenant and priority: the bands that may have jobs
MarksOfLines = dict[str, dict[str, str]]  # by priority and tenant: claimable_at


class QueueClaims:
    """The knowledge of one worker process of a queue: its low-water marks and, while several tenants wait, their bands.

    `marks` are those of the whole queue or, while it claims by line, of every line without bands: below them such a
    line has nothing left to find.
    """

    def __init__(
        self,
        queue: str,
        tenants: Tenants,
        look_s: float,
        jobs_in_hand: Callable[[str], JobsInHand] = lambda _: JobsInHand(),
    ) -> None:
        """`look_s`: between two looks for waiting tenants. `jobs_in_hand`: of a queue, beside those to settle."""
        self.marks = LowWaterMarks()
        self.share = FairShare(tenants.weights)
        self._queue, self._tenants, self._look_s = queue, tenants, look_s
        self._bands: Bands = {}
        self._by_line = False
        self.policies = KnownPolicies()  #: as the last claim has read them
        self._jobs_in_hand = jobs_in_hand
        self._alone: int | None = None  # the tenant that alone waited at the last look
        self._was_full = False
        self._suspended = tenants.suspended
        self._floor: str | None = None  # of the last look: who comes later is above it
        self._walked_to: tuple[int, int] | None = BEFORE_ALL_BANDS  # None: no band is unknown
        self._walk_floor = ""  # as `_floor`, of the walk that goes on
        self._looked_at, self._look_at = float("-inf"), float("-inf")

    def settle_and_claim(
        self, connection: WorkerConnection, worker: int, results: Results, limit: int
    ) -> tuple[int, list[ClaimedJob]]:
        """Store the results and claim up to `limit` jobs, as `claims.settle_and_claim` does."""
        self._tenants.refresh(connection)
        self.policies.begin_visit()
        self._look(connection, worker)
        stored, jobs = self._claim_or_read_policies(connection, worker, results, limit)
        if not jobs and self._by_line:  # somebody may have come since the last look
            self._look(connection, worker, at_once=True)
            jobs = self._claim_or_read_policies(connection, worker, Results(), limit)[1]
        return stored, jobs

    @property
    def low_water_marks(self) -> dict[str, str]:
        """The lowest marks of all lines, by priority: for the other processes."""
        low = {
            priority: min([at, *(bands[priority][0] for bands in self._bands.values() if priority in bands)])
            for priority, at in self.marks.claimable_at.items()
        }
        return {str(priority): at for priority, at in low.items() if at != "-infinity"}

    @property
    def line_marks(self) -> MarksOfLines:
        """The marks of the bands that may have jobs, and of all others; empty unless it claims by line."""
        if not self._by_line:
            return {}
        marks = {str(priority): {OTHERS: at} for priority, at in self.marks.claimable_at.items()}
        for tenant, bands in self._bands.items():
            for priority, (at, _) in bands.items():
                marks[str(priority)][str(tenant)] = at
        return marks

    # --- waiting tenants

    def _look(self, connection: WorkerConnection, worker: int, *, at_once: bool = False) -> None:
        """Look which tenants wait, if that is due; begin or end to claim by line."""
        tenants, policies = self._tenants, self.policies
        if policies.is_paused(several=tenants.several):
            return  # bands and marks stay as they are: a resume goes on with them
        suspended = tenants.suspended | policies.paused
        resumed, self._suspended = self._suspended - suspended, suspended
        if not self._by_line and not self._must_be_by_line and not (tenants.several and self._was_full):
            return
        now = time.monotonic()
        if at_once or resumed or now >= self._look_at or (self._must_be_by_line and not self._by_line):
            self._read_bands(connection, worker, now, resumed)
        if self._by_line:
            self._end_if_alone()

    @property
    def _must_be_by_line(self) -> bool:
        return self._tenants.are_claimed_by_line or self.policies.in_force

    def _read_bands(self, connection: WorkerConnection, worker: int, now: float, resumed: Iterable[int]) -> None:
        """Read which bands may have jobs; claim by line from now on if these are of several tenants."""
        floor, bands = self._find_bands(connection, worker, now)
        if not self._by_line:
            bands += [(self._alone, priority) for priority in PRIORITIES] if self._alone is not None else []
            tenants = {tenant for tenant, _ in bands}
            must_be_by_line = self._must_be_by_line or bool(resumed)
            if len(tenants) <= 1 and self._walked_to is None and not must_be_by_line:
                self._alone, self._floor = min(tenants, default=None), floor
                return
            self._by_line, self._alone = True, None
        for tenant, priority in bands:
            self._add_band(tenant, priority, (self.marks.claimable_at[priority], self.marks.id[priority]))
        for tenant in resumed:
            for priority in PRIORITIES:
                self._add_band(tenant, priority, ("-infinity", NIL_UUID))
        for tenant in [tenant for tenant in self._bands if tenant in self._suspended]:
            del self._bands[tenant]  # all its bands are looked at when it is resumed
        if self._walked_to is None:  # all who wait are known: nobody else has jobs below the floor
            self._floor = floor
            self.marks = LowWaterMarks(dict.fromkeys(PRIORITIES, floor))

    def _find_bands(self, connection: WorkerConnection, worker: int, now: float) -> tuple[str, list[tuple[int, int]]]:
        """Return the floor of a look, and the bands that it has found: (tenant, priority)."""
        found = list[Row]()
        if self._floor is not None and self._walked_to is None and now - self._looked_at <= NEWS_UP_TO_S:
            found = connection.run(NEW_BANDS, (worker, self._queue, self._floor, MAX_NEWS))
        if not found or found[0][3]:
            floor, found = self._walk(connection)
        else:
            floor = found[0][0]
        took = time.monotonic() - now
        self._looked_at, self._look_at = now, now + max(self._look_s, min(took * LOOK_SHARE, NEWS_UP_TO_S / 2))
        return floor, [(row[1], row[2]) for row in found if row[1] is not None]

    def _walk(self, connection: WorkerConnection) -> tuple[str, list[Row]]:
        """Go from band to band, on from where the last walk has ended; returns from when on news are to be read."""
        after = self._walked_to or BEFORE_ALL_BANDS
        rows = connection.run(WAITING_BANDS, (self._queue, *after, MAX_BANDS))
        if after == BEFORE_ALL_BANDS:
            self._walk_floor = rows[0][0]
        self._walked_to = (rows[-1][1], rows[-1][2]) if len(rows) == MAX_BANDS else None
        return self._walk_floor, rows

    def _add_band(self, tenant: int, priority: int, mark: Mark) -> None:
        bands = self._bands.setdefault(tenant, {})
        bands[priority] = min(mark, bands.get(priority, mark))

    def _end_if_alone(self) -> None:
        """Claim from the whole queue again if at most one tenant waits. Its marks become those of the queue."""
        if len(self._bands) > 1 or self._must_be_by_line or self._walked_to is not None:
            return
        self._by_line, self._was_full, self._alone = False, bool(self._bands), None
        for tenant, bands in self._bands.items():
            self._alone = tenant
            for priority, mark in bands.items():
                low = min(mark, (self.marks.claimable_at[priority], self.marks.id[priority]))
                self.marks.claimable_at[priority], self.marks.id[priority] = low
        self._bands = {}

    # --- claims

    def _claim_or_read_policies(
        self, connection: WorkerConnection, worker: int, results: Results, limit: int
    ) -> tuple[int, list[ClaimedJob]]:
        """Settle and claim; under policies from now on if the claim finds that the queue has some."""
        try:
            return self._claim(connection, worker, results, limit)
        except claims.PolicyFound as found:
            self.policies.found()
            self._look(connection, worker, at_once=True)
            return found.stored, self._claim(connection, worker, Results(), limit)[1]

    def _claim(
        self, connection: WorkerConnection, worker: int, results: Results, limit: int
    ) -> tuple[int, list[ClaimedJob]]:
        if not self._by_line:
            stored, jobs = claims.settle_and_claim(connection, worker, results, self._queue, self.marks, limit)
            self._was_full = len(jobs) == limit
            if self._tenants.several:
                self._count_alone(jobs)
            return stored, jobs
        stored, jobs = self._claim_by_line(connection, worker, results, limit)
        self._fill(connection, worker, jobs, limit)
        return stored, jobs

    def _fill(self, connection: WorkerConnection, worker: int, jobs: list[ClaimedJob], limit: int) -> None:
        """Claim by line until there are `limit` jobs, or nobody waits who may run."""
        while len(jobs) < limit and any(self._may_run(tenant) for tenant in self._bands):
            try:
                jobs += self._claim_by_line(connection, worker, Results(), limit - len(jobs))[1]
            except claims.PolicyFound:
                return  # the next claim reads it
            except DatabaseUnavailable:
                raise
            except psycopg2.Error:
                if not jobs or not connection.is_idle:
                    raise
                return  # what it has claimed is to be run

    def _may_run(self, tenant: int) -> bool:
        is_paused = self.policies.is_paused(several=self._tenants.several)
        return not is_paused and self.policies.allow(tenant) and self._tenants.may_run(tenant)

    def _count_alone(self, jobs: Sequence[ClaimedJob]) -> None:
        """Count a claim from the whole queue. If it came back short, nobody waits and nobody owes anything."""
        if not self._was_full:
            self._alone = None
            self.share.forget()
        for tenant, count in Counter([job.tenant for job in jobs]).items():
            self.share.claimed(tenant, count)
        if self._alone is not None:
            self.share.alone(self._alone)

    def _claim_by_line(
        self, connection: WorkerConnection, worker: int, results: Results, limit: int
    ) -> tuple[int, list[ClaimedJob]]:
        """Settle, and claim of the tenants that this process has served least."""
        policies, under_policies = self.policies, self.policies.in_force
        turns = self.share.turns(filter(self._may_run, self._bands), limit, self._tenants.places)
        first, last = list[int](), list[int]()
        priorities, marks = list[int](), list[Mark]()
        for tenant, _ in turns:
            bands = sorted(self._bands[tenant].items())
            first.append(len(priorities) + 1)
            priorities += [priority for priority, _ in bands]
            marks += [mark for _, mark in bands]
            last.append(len(priorities))
        stored, floor, rows = claims.taken_rows(
            answer := connection.run(
                SETTLE_AND_CLAIM_UNDER_POLICIES if under_policies else SETTLE_AND_CLAIM_BY_LINE,
                (
                    worker,
                    *results.arguments(),
                    self._queue,
                    array_literal(tenant for tenant, _ in turns),
                    array_literal(first),
                    array_literal(last),
                    array_literal(jobs for _, jobs in turns),
                    array_literal(priorities),
                    array_literal(at for at, _ in marks),
                    array_literal(job_id for _, job_id in marks),
                    limit,
                    *(self._jobs_in_hand(self._queue).arguments() if under_policies else ()),
                ),
            )
        )
        if under_policies:
            turns, limit = policies.read(answer[0], turns, limit)
        self._advance(turns, rows, limit, floor)
        return stored, claims.claimed_jobs(rows)

    def _advance(self, turns: Sequence[tuple[int, int]], rows: Sequence[Row], limit: int, floor: str) -> None:
        """Move the marks of the bands after a claim, and drop the bands that it has read to their end.

        A full claim has ended within the last turn of which it has jobs: the ones behind it were not read.
        """
        taken: dict[int, list[Row]] = {}
        for row in rows:
            taken.setdefault(row[14], []).append(row[2:5])
        last_turn = max((n for n, (tenant, _) in enumerate(turns) if tenant in taken), default=-1)
        is_full = len(rows) >= limit
        for number, (tenant, jobs) in enumerate(turns):
            if is_full and number > last_turn:
                break
            mine = taken.get(tenant, ())
            if mine:
                self.share.claimed(tenant, len(mine))
                self._tenants.claimed(tenant, len(mine))
            bands = self._bands[tenant]
            if not jobs:  # a policy allows none: nothing was read
                continue
            if len(mine) < jobs and not (is_full and number == last_turn):
                del self._bands[tenant]
                continue
            end, at, job_id = max(mine)
            for priority in [one for one in bands if one < end]:
                del bands[priority]
            bands[end] = min((at, job_id), (floor, NIL_UUID))
