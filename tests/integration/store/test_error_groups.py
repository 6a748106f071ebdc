"""Error groups: failed jobs by operation, type and normalised text, and the filters of lists that scan for values."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from integration.store.support.bulk_actions import ActionDriver
from integration.store.support.storage import Storage

from common.domain.bulk_actions import ActionKind
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.store.connection.lanes import Lane
from common.store.listing import error_groups, job_list
from common.store.listing.error_groups import BUCKETS, ErrorGroups, ErrorSearch
from common.store.listing.error_texts import NORMALISED
from common.store.listing.index_scan import JobPage, ScanLimits

FAILED = frozenset({State.FAILED})
LIMITS = ScanLimits(50, 20_000, 3_600)
# A failure a second, the newest one a second ago; the other columns are SQL of n, which is 0 for the oldest.
_FAIL = """
WITH new AS (
    INSERT INTO jobs (id, tenant, operation, queue, input, metadata, max_attempts)
    SELECT uuidv7(), {tenant}, {operation}, {queue}, {input}, {metadata}, 1 FROM generate_series(0, {count} - 1) n
    RETURNING id),
numbered AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM new)
INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status, error_type, error_text, finished_at)
SELECT id, {tenant}, 0, 1, 0, 2, 'FAILED', {type}, {text}, now() - ({count} - n) * interval '1 s' FROM numbered
RETURNING id::text
"""
DEFAULTS = {
    "tenant": "1", "operation": "'square_sum'", "queue": "'default'", "input": "'{}'", "metadata": "NULL",
    "type": "'RuntimeError'", "text": "'it went wrong'",
}  # fmt: skip


def fail(storage: Storage, count: int = 1, **columns: str) -> list[str]:
    """Store jobs that have failed. Returns their ids, by the time of their ends."""
    return sorted(row[0] for row in storage.rows(_FAIL.format(**DEFAULTS | columns, count=count)))


def groups(
    storage: Storage, *, scan_limit: int = 5_000, limit: int = 50, tenant: int = 1, **filters: object
) -> ErrorGroups:
    search = ErrorSearch(tenant, **filters)  # type: ignore[arg-type]  # a test's
    return storage.with_pool(
        lambda pool: pool.run_sync(
            lambda connection: error_groups.read(connection, search, scan_limit, limit), Lane.EXPENSIVE, tenant=tenant
        )
    )


def page(storage: Storage, search: JobSearch, limits: ScanLimits = LIMITS) -> JobPage:
    return storage.with_pool(
        lambda pool: pool.run_sync(
            lambda connection: job_list.page(connection, 1, search, None, limits), Lane.EXPENSIVE
        )
    )


def ids(found: JobPage) -> set[str]:
    return {str(job["id"]) for job in found.jobs}


NORMAL = {
    "could not connect to mail.example:25 after 1.5 s": "could not connect to mail.example:# after # s",
    "could not connect to mail.example:2525 after 15 s": "could not connect to mail.example:# after # s",
    "no order 01a22906-7c53-7b3e-bc87-e5aecdf28096": "no order #",
    "at 0xDEADBEEF of 10.0.0.1:5432": "at # of #",
    "KeyError: 'customer one'": "KeyError: #",
    "can't send \"a 'b' c\" now, it isn't there": "can't send # now, it isn't there",
    "no digit, no quotation": "no digit, no quotation",
    "": "",
}


@pytest.mark.parametrize("text", NORMAL)
def test_a_normalised_text_has_no_numbers_ids_or_quotations(storage: Storage, text: str) -> None:
    assert storage.value(f"SELECT {NORMALISED.format(text='%s::text')}", (text,)) == NORMAL[text]


def test_the_cut_of_a_text_does_not_depend_on_the_lengths_of_ids(storage: Storage) -> None:
    for number in ("7", "1" * 60):
        assert (
            storage.value(f"SELECT {NORMALISED.format(text='%s::text')}", (f"order {number} {'x y ' * 900}",))
            == (f"order # {'x y ' * 900}"[:200])
        )


def test_failures_are_grouped_with_counts_times_and_newest_jobs(storage: Storage) -> None:
    before = datetime.now(UTC)
    many = fail(storage, 48, text="'order ' || n || ' is lost'")
    fail(storage, 2, operation="'cube_sum'", text="'order ' || n || ' is lost'")
    (cancelled,) = fail(storage)
    storage.rows("UPDATE outcomes SET status = 'CANCELLED', error_type = NULL WHERE id = %s", (cancelled,))
    found = groups(storage)
    assert (found.scanned, found.failed, found.groups_total, found.is_complete) == (51, 50, 2, True)
    first, second = found.groups
    assert (first.operation, first.error_type, first.normalised, first.count) == (
        "square_sum",
        "RuntimeError",
        "order # is lost",
        48,
    )
    assert (second.operation, second.count) == ("cube_sum", 2)
    assert first.id != second.id
    assert [str(job_id) for job_id in first.sample] == many[:-11:-1]
    assert first.sample_text == "order 47 is lost"
    assert found.since == first.first_at
    assert first.last_at - first.first_at == timedelta(seconds=47)
    assert sum(first.counts) == 48 and len(first.counts) == BUCKETS and min(first.counts) >= 1, "one each second"
    assert before < found.until < datetime.now(UTC) + timedelta(seconds=1)
    assert groups(storage, limit=1).groups == [first] or groups(storage, limit=1).groups[0].id == first.id
    assert groups(storage, limit=1).groups_total == 2


def test_the_scan_limit_ends_the_scan_and_the_answer_says_so(storage: Storage) -> None:
    newest = fail(storage, 30)[-10:]
    found = groups(storage, scan_limit=10)
    assert (found.scanned, found.is_complete, found.failed) == (10, False, 10)
    assert {str(job_id) for job_id in found.groups[0].sample} == set(newest)
    assert found.since == found.groups[0].first_at


def test_filters_choose_failures_by_operation_queue_and_time(storage: Storage) -> None:
    fail(storage, 3, operation="'cube_sum'")
    fail(storage, 4, queue="'mail'")
    fail(storage, 20)
    assert [group.count for group in groups(storage, operation="cube_sum").groups] == [3]
    assert [group.count for group in groups(storage, queue="mail").groups] == [4]
    after = datetime.now(UTC) - timedelta(seconds=10)
    found = groups(storage, finished_after=after, queue="default", operation="square_sum")
    assert 9 <= found.failed <= 10 and found.since == after
    nothing = groups(storage, finished_before=datetime(2020, 1, 1, tzinfo=UTC))
    assert (nothing.groups, nothing.failed, nothing.since, nothing.is_complete) == ([], 0, None, True)
    assert nothing.until == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_retried_job_is_in_the_group_of_its_newest_outcome(storage: Storage) -> None:
    waits, ended = fail(storage, 2)
    storage.rows(
        "INSERT INTO live (id, queue, max_attempts, claimable_at, run) VALUES (%s, 'default', 3, now(), 1)", (waits,)
    )
    storage.rows(
        """INSERT INTO outcomes (id, run, attempt, released, rev, status, error_type, error_text)
           VALUES (%s, 1, 1, 0, 4, 'FAILED', 'OSError', 'other')""",
        (ended,),
    )
    assert [(group.error_type, group.count) for group in groups(storage).groups] == [("OSError", 1)]


def test_failures_of_another_tenant_are_in_no_group(storage: Storage) -> None:
    fail(storage, 2)
    theirs = fail(storage, 3, tenant="2")
    assert [group.count for group in groups(storage).groups] == [2]
    (group,) = groups(storage, tenant=2).groups
    assert {str(job_id) for job_id in group.sample} == set(theirs)


def test_a_list_and_a_bulk_action_have_the_jobs_of_a_group(storage: Storage, actions: ActionDriver) -> None:
    lost = fail(storage, 5, text="'order ' || n || ' is lost'")
    fail(storage, 3)
    group = next(group for group in groups(storage).groups if group.count == 5)
    search = JobSearch(FAILED, error_group=group.id)
    assert ids(page(storage, search)) == set(lost)
    preview = actions.preview(ActionKind.RETRY, State.FAILED, error_group=group.id)
    assert (preview["count"], preview["count_is_exact"]) == (5, True)
    assert page(storage, JobSearch(FAILED, error_group="0" * 12)).jobs == []


CONTENTS = {
    "order.id=7": "number", "order.id=text": "text", "order.id=true": "boolean", "items.1=b": "array", "id=a=b": "sign",
    "order.name=ü": "escape", "number=12345678901234567890.10": "long number",
}  # fmt: skip
INPUTS = {
    "number": '{"order": {"id": 7}}',
    "text": '{"order": {"id": "text"}}',
    "boolean": '{"order": {"id": true}}',
    "array": '{"items": ["a", "b"]}',
    "sign": '{"id": "a=b"}',
    "escape": '{"order": {"name": "\\u00fc", "face": "\\ud83d\\ude00"}}',
    "long number": '{"number": 12345678901234567890.10}',
    "null": '{"order": {"id": null}, "nul": "\\u0000"}',
    "half": '{"order": {"id": 7}, "half": "\\\\\\\\ud83d\\ude00 \\ud83d"}',
}


def test_inputs_and_metadata_are_compared_at_a_path(storage: Storage) -> None:
    stored = {
        name: fail(storage, input=f"$i${text}$i$::json", metadata=f"$i${text}$i$::json")[0]
        for name, text in INPUTS.items()
    }

    def found_by(document: str, filter_: str) -> set[str]:
        values = (filter_,)
        search = JobSearch(input=values) if document == "input" else JobSearch(metadata=values)
        return ids(page(storage, search))

    for document in ("input", "metadata"):
        for filter_, name in CONTENTS.items():
            assert found_by(document, filter_) == {stored[name]}, (document, filter_)
        for filter_ in ("order.id=", "order.id=null", "order=7", "order.id.x=7", "nothing=7", "items.2=b"):
            assert found_by(document, filter_) == set(), filter_
    both = JobSearch(input=("order.id=7",), metadata=("order.id=7",))
    assert ids(page(storage, both)) == {stored["number"]}
    assert page(storage, JobSearch(input=("order.id=7", "items.1=b"))).jobs == []


def test_the_input_of_a_manual_retry_is_the_one_that_is_compared(storage: Storage) -> None:
    (job_id,) = fail(storage, input="""'{"a": 1}'""")
    storage.rows("INSERT INTO runs (id, run, input) VALUES (%s, 1, %s)", (job_id, '{"a": 2}'))
    assert page(storage, JobSearch(input=("a=1",))).jobs == []
    assert ids(page(storage, JobSearch(input=("a=2",)))) == {job_id}


def test_a_page_of_a_value_that_few_jobs_have_ends_at_its_budget(storage: Storage) -> None:
    fail(storage, 30, metadata="""json_build_object('n', n)""")
    found = page(storage, JobSearch(metadata=("n=0",)), ScanLimits(50, 10, 3_600))
    assert (found.jobs, found.scanned, found.next is not None) == ([], 10, True)
    assert found.estimated_total is None


def test_five_thousand_failures_are_grouped_quickly(storage: Storage) -> None:
    """The time is printed; the limit is ten times what it takes on a machine that is not loaded."""
    fail(storage, 6_000, text="'could not send order ' || md5(n::text) || ' to mail' || n || '.example: timeout'")
    groups(storage)
    began = time.perf_counter()
    found = groups(storage)
    took_s = time.perf_counter() - began
    print(f"{took_s * 1000:.0f} ms")
    assert (found.scanned, found.groups_total, found.is_complete) == (5_000, 1, False)
    assert took_s < 2
    assert isinstance(found.groups[0].sample[0], UUID)
