"""Reads the folded graphs of workflows. A graph is kept for twenty times as long as its read took."""

import time
from functools import partial
from uuid import UUID

from fastapi import Request

from api.auth.expensive_read import until_disconnected
from common.settings import Settings
from common.store.batches.reads import Record
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.workflows import reads
from common.store.workflows.reads import FoldedGraph

KEPT_FOR = 20  # times what the read took
MIN_READ_S = 0.005  # what a shorter read has found is not kept
MAX_KEPT = 1_000  # graphs
_Key = tuple[int, UUID]


class WorkflowGraphs:
    """The graphs of workflows that were read lately."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._settings = settings
        self._pool = pool
        self._kept: dict[_Key, tuple[FoldedGraph, int, float]] = {}  # with the revision of the row, and until when

    async def read(self, request: Request, tenant: int, row: Record) -> FoldedGraph | None:
        """Return the graph of a tenant's workflow with this row; None if it has too many jobs.

        Raises TooManyReads, ReadTimeout or StoreUnavailable.
        """
        if row["jobs"] > self._settings.workflow_graph_jobs:
            return None
        key, began = (tenant, row["id"]), time.monotonic()
        if (kept := self._kept.get(key)) is not None and kept[1] == row["rev"] and began < kept[2]:
            return kept[0]
        fold = partial(reads.folded, tenant=tenant, workflow_id=row["id"])
        graph = await self._pool.run(fold, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
        took = time.monotonic() - began
        if took >= MIN_READ_S:
            self._kept[key] = graph, row["rev"], time.monotonic() + took * KEPT_FOR
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return graph

    def forget(self, tenant: int, workflow_id: UUID) -> None:
        """Forget the graph of a workflow that was changed."""
        self._kept.pop((tenant, workflow_id), None)
