"""The spans of inserts: one for each group commit in each trace of a submission, and one for its repetition."""

import asyncio
from uuid import UUID

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rig.settings import settings_from

from api.submit.tracing import TracedGroupCommit
from api.telemetry.metrics import ApiMetrics
from common.domain.job import NewJob
from common.store.connection.asyncpg_pool import DatabasePool

TRACE = "0af7651916cd43dd8448eb211c80319c"


class _RefusedOnce(TracedGroupCommit):
    """Stores nothing. The first try of a group commit is refused, its repetition stores all but the first job."""

    tries = 0

    async def _retry_until_timeout(self, _store: object) -> object:  # type: ignore[override]  # no database
        self.tries += 1
        if self.tries == 1:
            raise ValueError("a row is refused")
        return {UUID(int=1): ValueError("this one")}


def test_the_repetition_of_a_refused_group_commit_has_a_span(exported_spans: InMemorySpanExporter) -> None:
    jobs = [
        NewJob(UUID(int=1), "square_sum", "default", "{}", 3, None, trace=f"00-{TRACE}-b7ad6b7169203331-01"),
        NewJob(UUID(int=2), "square_sum", "default", "{}", 3, None),
    ]

    async def submitted() -> list[BaseException | None]:
        settings = settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0")
        group_commit = _RefusedOnce(settings, DatabasePool(settings), lambda _queue, _jobs: None, ApiMetrics())
        return await asyncio.gather(*(group_commit.submit(job, 1) for job in jobs), return_exceptions=True)

    errors = asyncio.run(submitted())
    assert [str(error) for error in errors] == ["this one", "None"]
    spans = exported_spans.get_finished_spans()
    assert [span.name for span in spans] == ["INSERT jobs", "INSERT jobs"]
    assert [dict(span.attributes or {}).get("error.type") for span in spans] == ["ValueError", None]
