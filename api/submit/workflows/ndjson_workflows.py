"""Stores workflows of bodies of NDJSON: a job a line, all or none in one transaction.

Every line is checked as it comes and written to a temporary file. In memory are the names, the parents and the policies
alone, of which the graph is made before the first job is inserted.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO
from uuid import UUID

import asyncpg

from api.auth.principal import Principal
from api.limits.quotas.quotas import bytes_of
from api.submit.batches.bodies import new_batch
from api.submit.batches.intake_transaction import intake_transaction
from api.submit.batches.ndjson import CLOSE, NdjsonBody
from api.submit.batches.ndjson_intake import SPOOLED_BYTES, NdjsonIntake
from api.submit.batches.ndjson_jobs import in_chunks, spooled_lines
from api.submit.batches.parse_slices import ParseSlices
from api.submit.request_models import BatchBody
from api.submit.workflows.bodies import build_graph, check_options, take_members
from api.submit.workflows.models import NodeMembers
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import ProblemError, field_problem
from common.domain.batches import batch_job_id
from common.domain.job import NewJob, Options
from common.domain.workflows import Graph
from common.store.batches import submission
from common.store.jobs import insert, keyed_insert
from common.store.jobs.keyed_insert import IdempotencyKey


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A workflow of a body of NDJSON."""

    id: UUID
    jobs: int
    replayed: bool = False  #: an earlier request with this idempotency key has stored it


@dataclass(slots=True)
class _Checked:
    """A body whose lines are valid."""

    members: list[NodeMembers] = field(default_factory=list)  #: by position
    lines: list[int] = field(default_factory=list)  #: by position: the number of the line
    queues: set[str] = field(default_factory=set)
    size: int = 0  #: bytes that the jobs store

    @property
    def jobs(self) -> int:
        """The number of jobs."""
        return len(self.members)

    def add(self, line: int, members: NodeMembers, job: NewJob) -> None:
        """Add the job of a line."""
        self.members.append(members)
        self.lines.append(line)
        self.queues.add(job.queue)
        self.size += bytes_of(job)


class NdjsonWorkflows(NdjsonIntake):
    """Stores workflows of bodies of NDJSON."""

    async def store(self, caller: Principal, body: NdjsonBody, workflow_id: UUID, key: str | None) -> StoredWorkflow:
        """Store the jobs of all lines in one transaction, or none. `key`: the idempotency key of the request.

        Raises ProblemError, which names the line, KeyReused, or OutcomeUnknown if the answer of the database was lost.
        """
        with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as spool:
            checked = await self._spool(caller, body, spool)
            keyed = self._keyed(key, body)
            if earlier := await self._earlier(caller.tenant, keyed):
                return StoredWorkflow(earlier[0], checked.jobs, replayed=True)
            try:
                graph = await asyncio.to_thread(build_graph, checked.members, self._settings, "")
            except ProblemError as error:
                raise _of_line(error, checked) from error
            insert = partial(self._insert_all, caller, spool, workflow_id, graph, keyed)
            is_stored = await self._store_once(caller.tenant, checked, insert)
        if not is_stored and (earlier := await self._earlier(caller.tenant, keyed)):  # of a request at the same time
            return StoredWorkflow(earlier[0], checked.jobs, replayed=True)
        return StoredWorkflow(workflow_id, checked.jobs)

    async def _spool(self, caller: Principal, body: NdjsonBody, spool: IO[bytes]) -> _Checked:
        """Check all lines and write them to a file. Raises ProblemError, which names the first invalid line."""
        checked, most, slices = _Checked(), self._settings.max_ndjson_jobs, ParseSlices()
        async for lines in body.parts():
            for number, line in lines:
                await slices.pause_if_over()
                members, job = await self._parse(caller, number, line)
                checked.add(number, members, job)
            if len(checked.members) > most:
                raise field_problem(INVALID_BODY, [("", f"has more than {most} jobs")], 1)
            spool.writelines(b"%d %b\n" % (number, line) for number, line in lines)
        if not checked.members:
            raise field_problem(INVALID_BODY, [("", "a job in each line is expected")], 1)
        return checked

    async def _parse(self, caller: Principal, number: int, line: bytes) -> tuple[NodeMembers, NewJob]:
        value, prefix = self._bodies.parse(line), f"{number}."
        members = take_members(value, prefix)
        job = await self._parser.parse(value, caller, prefix)
        check_options(job, members, prefix)
        return members, job

    async def _insert_all(
        self, caller: Principal, spool: IO[bytes], workflow_id: UUID, graph: Graph, key: IdempotencyKey | None
    ) -> bool:
        """Insert the jobs of a spooled body in one transaction. Return False if another request has the key."""
        count = len(graph.nodes)
        ids = [batch_job_id(workflow_id, number) for number in range(1, count + 1)]
        row = await new_batch(self._parser, caller, workflow_id, BatchBody(), closed=True, is_workflow=True)
        async with intake_transaction(self._pool, self._settings.ndjson_body_seconds) as connection:
            take = keyed_insert.take_idempotency_key
            if key and not await take(connection, caller.tenant, [ids[0]], key, workflow_id):
                return False
            counts = await self._insert_parts(connection, caller, spool, graph, ids)
            await submission.insert_batch(connection, row, count, count)
        self._group_commit.announce(counts)
        return True

    async def _insert_parts(
        self,
        connection: asyncpg.Connection,
        caller: Principal,
        spool: IO[bytes],
        graph: Graph,
        ids: Sequence[UUID],
    ) -> Counter[tuple[str, str]]:
        """Insert the jobs of a spooled body in the open transaction. Return how many, by operation and queue."""
        counts, position, slices = Counter[tuple[str, str]](), 0, ParseSlices()
        for lines in in_chunks(spooled_lines(spool), self._settings.ndjson_chunk_jobs):
            jobs = list[NewJob]()
            for number, line in lines:
                await slices.pause_if_over()
                _, job = await self._parse(caller, number, line)
                options = replace(job.options or Options(), dependencies=graph.dependencies(position, ids))
                jobs.append(replace(job, id=ids[graph.numbers[position]], options=options))
                position += 1
            await insert.insert_jobs(connection, jobs, tenants=(caller.tenant,))
            counts.update((job.operation, job.queue) for job in jobs)
        return counts


def _of_line(problem: ProblemError, checked: _Checked) -> ProblemError:
    """Return a problem that names the line instead of the position of a job."""
    errors = [(error["field"], error["reason"]) for error in problem.errors or []]
    named = [
        (f"{checked.lines[int(position)]}.{rest}" if position.isdecimal() else field_, reason)
        for field_, reason in errors
        for position, _, rest in [field_.partition(".")]
    ]
    of_line = field_problem(INVALID_BODY, named, len(named))
    of_line.headers.update(CLOSE)
    return of_line
