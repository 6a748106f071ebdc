"""Stores the jobs of a body of NDJSON: part by part, each on its own, or all or none in one transaction."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO
from uuid import UUID

import asyncpg

from api.auth.principal import Principal
from api.limits.quotas.quotas import bytes_of
from api.submit.batches.intake_transaction import intake_transaction
from api.submit.batches.ndjson import CLOSE, Lines, NdjsonBody
from api.submit.batches.ndjson_intake import SPOOLED_BYTES, NdjsonIntake
from api.submit.batches.parse_slices import ParseSlices
from api.web.problem_kinds import INVALID_BODY, UNKNOWN_OPERATION
from api.web.problems import ProblemError, field_problem
from common.domain.batches import NewBatch, batch_job_id
from common.domain.errors import InvalidSubmission, JobprocError, StoreUnavailable, UnknownOperation
from common.domain.job import HeldWhile, NewJob
from common.store.batches import submission
from common.store.batches.submission import AddedJobs
from common.store.connection.lanes import Lane
from common.store.jobs import insert, keyed_insert
from common.store.jobs.keyed_insert import IdempotencyKey

MAX_REFUSED = 1_000  # lines that are named in a response; at one more no further line is read


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not stored."""

    line: int  #: from 1
    type: str  #: URI of the kind of problem
    detail: str


@dataclass(slots=True)
class StoredLines:
    """The outcome of a body. The job of a line has the id of the first line of its range, counted on."""

    batch_id: UUID
    jobs: int = 0  #: that were stored
    ranges: list[tuple[int, int, UUID]] = field(default_factory=list)  #: first line, last line, id of the first one
    refused: list[RefusedLine] = field(default_factory=list)
    is_complete: bool = True  #: False: too many lines were refused, so the rest was not read
    replayed: bool = False  #: an earlier request with this idempotency key has stored the jobs

    def add(self, first_line: int, last_line: int, first_id: UUID) -> None:
        """Add lines whose jobs have the next ids."""
        if self.ranges:
            first, last, start = self.ranges[-1]
            if last + 1 == first_line and start.int + first_line - first == first_id.int:
                self.ranges[-1] = (first, last_line, start)
                return
        self.ranges.append((first_line, last_line, first_id))


class NdjsonJobs(NdjsonIntake):
    """Stores jobs of bodies of NDJSON in batches."""

    async def store_each(self, caller: Principal, body: NdjsonBody, batch_id: UUID) -> StoredLines:
        """Store the jobs of valid lines in an open batch; each part is a transaction. Refused lines are in the outcome.

        Raises ProblemError for the body as a whole, and what a part raises unless it is a problem of its jobs; earlier
        parts are stored then.
        """
        stored = StoredLines(batch_id)
        async for lines in body.parts():
            jobs = [job async for job in self._valid(caller, lines, stored)]
            if jobs:
                await self._store_part(caller, stored, jobs)
            if len(stored.refused) >= MAX_REFUSED:
                stored.is_complete = False
                break
        return stored

    async def _store_part(self, caller: Principal, stored: StoredLines, jobs: Sequence[tuple[int, NewJob]]) -> None:
        """Store the jobs of lines; if the part is refused as a whole, all of its lines are."""
        tenant, batch_id, first_line, last_line = caller.tenant, stored.batch_id, jobs[0][0], jobs[-1][0]
        count = last_line - first_line + 1
        new = [job for _, job in jobs]
        try:
            await self._backpressure.check(tenant, (job.queue for job in new))
            with await self._quotas.admit(tenant, new) as admission:
                start = await self.reserve(tenant, batch_id, count)
                numbered = [replace(job, id=batch_job_id(batch_id, start + n - first_line)) for n, job in jobs]
                outcome = await self._group_commit.submit_once(numbered, None, tenant, AddedJobs(batch_id, tenant))
                admission.keep(outcome.inserted)
        except ProblemError as error:
            stored.refused += [RefusedLine(n, error.kind.type, error.detail) for n, _ in jobs]
            return
        stored.jobs += len(new)
        stored.add(first_line, last_line, batch_job_id(batch_id, start))

    async def reserve(self, tenant: int, batch_id: UUID, count: int) -> int:
        """Return the first of the next `count` numbers of a batch. Raises BatchNotFound, BatchClosed or BatchFull."""
        most = self._settings.max_ndjson_jobs
        return await self._pool.run(
            lambda connection: submission.reserve_numbers(connection, tenant, batch_id, count, most), Lane.INTAKE
        )

    async def _valid(self, caller: Principal, lines: Lines, stored: StoredLines) -> AsyncIterator[tuple[int, NewJob]]:
        slices = ParseSlices()
        for number, line in lines:
            await slices.pause_if_over()
            try:
                yield number, await self._parse(caller, number, line)
            except StoreUnavailable:
                raise
            except ProblemError as error:
                stored.refused.append(RefusedLine(number, error.kind.type, error.detail))
            except JobprocError as error:
                kind = UNKNOWN_OPERATION if isinstance(error, UnknownOperation) else INVALID_BODY
                stored.refused.append(RefusedLine(number, kind.type, str(error)))

    async def _parse(self, caller: Principal, number: int, line: bytes) -> NewJob:
        job = await self._parser.parse(self._bodies.parse(line), caller, f"{number}.")
        unique = None if job.options is None else job.options.unique
        if unique is not None and unique.held_while is not HeldWhile.RUNNING:
            raise InvalidSubmission(f"{number}.unique", "is possible in NDJSON only with `while` `running`")
        return job

    # --- all or none

    async def store_all(
        self, caller: Principal, body: NdjsonBody, batch_id: UUID, new: NewBatch | None, key: str | None
    ) -> StoredLines:
        """Store the jobs of all lines in one transaction, or none. Every line is checked before it begins.

        `new`: the batch that is stored with them; None: it is open. `key`: the idempotency key of the request. Raises
        ProblemError, KeyReused, BatchNotFound, BatchClosed, BatchFull, or OutcomeUnknown if the answer of the database
        was lost.
        """
        with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as spool:
            checked = await self._spool(caller, body, spool)
            keyed = self._keyed(key, body)
            if earlier := await self._earlier(caller.tenant, keyed):
                return checked.stored(*earlier, replayed=True)
            first_id = batch_job_id(batch_id, 1)

            async def insert() -> bool:
                """Insert the jobs of a part."""
                nonlocal first_id
                if new is None:
                    first_id = batch_job_id(batch_id, await self.reserve(caller.tenant, batch_id, checked.jobs))
                return await self._insert_all(caller, spool, checked.stored(batch_id, first_id), new, keyed)

            is_stored = await self._store_once(caller.tenant, checked, insert)
        if not is_stored and (earlier := await self._earlier(caller.tenant, keyed)):  # of a request at the same time
            return checked.stored(*earlier, replayed=True)
        return checked.stored(batch_id, first_id)

    async def _spool(self, caller: Principal, body: NdjsonBody, spool: IO[bytes]) -> "_CheckedBody":
        """Check all lines and write them to a file. Raises ProblemError, which names the first invalid line."""
        checked, most = _CheckedBody(), self._settings.max_ndjson_jobs
        async for lines in body.parts():
            refused = StoredLines(UUID(int=0))
            async for number, job in self._valid(caller, lines, refused):
                checked.add(number, job)
            if refused.refused:
                first = refused.refused[0]
                raise ProblemError(
                    INVALID_BODY, first.detail, [{"field": str(first.line), "reason": first.detail}], CLOSE
                )
            if checked.jobs > most:
                raise field_problem(INVALID_BODY, [("", f"has more than {most} submissions")], 1)
            spool.writelines(b"%d %b\n" % (number, line) for number, line in lines)
        if not checked.jobs:
            raise field_problem(INVALID_BODY, [("", "a submission in each line is expected")], 1)
        return checked

    async def _insert_all(
        self, caller: Principal, spool: IO[bytes], stored: StoredLines, new: NewBatch | None, key: IdempotencyKey | None
    ) -> bool:
        """Insert the jobs of a spooled body in one transaction. Return False if another request has the key.

        Raises as `store_all`.
        """
        first_id, count = stored.ranges[0][2], stored.jobs
        async with intake_transaction(self._pool, self._settings.ndjson_body_seconds) as connection:
            take = keyed_insert.take_idempotency_key
            if key and not await take(connection, caller.tenant, [first_id], key, stored.batch_id):
                return False
            counts = await self._insert_parts(connection, caller, spool, first_id)
            if new is not None:
                await submission.insert_batch(connection, new, count, count)
            else:
                last_id = UUID(int=first_id.int + count - 1)
                await AddedJobs(stored.batch_id, caller.tenant).count(connection, first_id, last_id)
        self._group_commit.announce(counts)
        return True

    async def _insert_parts(
        self, connection: asyncpg.Connection, caller: Principal, spool: IO[bytes], first_id: UUID
    ) -> Counter[tuple[str, str]]:
        """Insert the jobs of a spooled body in the open transaction. Return how many, by operation and queue."""
        counts, refused = Counter[tuple[str, str]](), StoredLines(first_id)
        for lines in in_chunks(spooled_lines(spool), self._settings.ndjson_chunk_jobs):
            first, jobs = first_id.int + counts.total(), list[NewJob]()
            async for _, job in self._valid(caller, lines, refused):
                jobs.append(replace(job, id=UUID(int=first + len(jobs))))
            if refused.refused:  # an operation was forgotten meanwhile
                raise InvalidSubmission(str(refused.refused[0].line), refused.refused[0].detail)
            await insert.insert_jobs(connection, jobs, tenants=(caller.tenant,))
            counts.update((job.operation, job.queue) for job in jobs)
        return counts


@dataclass(slots=True)
class _CheckedBody:
    """A body whose lines are valid: the number of its jobs, and their lines."""

    jobs: int = 0
    size: int = 0  #: bytes that the jobs store
    queues: set[str] = field(default_factory=set)
    runs: list[list[int]] = field(default_factory=list)  #: first and last line of those that follow each other

    def add(self, line: int, job: NewJob) -> None:
        """Add the job of a line."""
        self.jobs, self.size = self.jobs + 1, self.size + bytes_of(job)
        self.queues.add(job.queue)
        if self.runs and self.runs[-1][1] + 1 == line:
            self.runs[-1][1] = line
        else:
            self.runs.append([line, line])

    def stored(self, batch_id: UUID, first_id: UUID, *, replayed: bool = False) -> StoredLines:
        """Return the outcome if the jobs are stored, with ids from `first_id` on."""
        stored, number = StoredLines(batch_id, self.jobs, replayed=replayed), first_id.int
        for first, last in self.runs:
            stored.ranges.append((first, last, UUID(int=number)))
            number += last - first + 1
        return stored


def spooled_lines(spool: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, with their numbers, from its beginning."""
    spool.seek(0)
    for line in spool:
        number, _, text = line.partition(b" ")
        yield int(number), text


def in_chunks(lines: Iterable[tuple[int, bytes]], size: int) -> Iterator[Lines]:
    """Yield lines, so many at a time."""
    chunk = Lines()
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = Lines()
    if chunk:
        yield chunk
