"""Plans of the claim by line and of what finds lines: bounded scans of `live_line` with any statistics."""

import json
from collections.abc import Sequence

import pytest
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Storage, results
from integration.store.support.tenants import FairClaimer, add_tenants, fill
from rig.system import until

from common.settings import Pooler, Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.jobs import claims, lines
from common.store.queues import line_strays
from common.store.workers.low_water_marks import NIL_UUID

STATES = ["filled", "analysed full", "analysed, then emptied", "mostly one tenant", "one tenant"]
ROWS, TENANTS, CLAIMED = 20_000, 20, 100
HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"
BY_LINE = [lines.SETTLE_AND_CLAIM_BY_LINE, lines.WAITING_BANDS, line_strays.REQUEUE_LINE_STRAYS]
BY_QUEUE = [claims.SETTLE_AND_CLAIM, lines.NEW_BANDS]


@pytest.fixture(params=list(Pooler))
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"database_pooler": request.param})


@pytest.fixture
def claimer(storage: Storage) -> FairClaimer:
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    add_tenants(storage, TENANTS)
    return FairClaimer(storage)


def _prepare(storage: Storage, state: str) -> None:
    for tenant in range(1, TENANTS + 1):
        share = 1 / TENANTS if "mostly" not in state else 0.99 if tenant == 1 else 0.01 / (TENANTS - 1)
        if state != "one tenant" or tenant == 1:
            fill(storage, tenant, int(ROWS * (1 if state == "one tenant" else share)), HOUR_AGO)
    if state != "filled":
        storage.rows("ANALYZE")
    if state.endswith("emptied"):
        storage.rows("DELETE FROM live")
        for tenant in range(1, TENANTS + 1):
            fill(storage, tenant, 200, HOUR_AGO)


def _arguments(claimer: FairClaimer) -> dict[Statement, Sequence[object]]:
    tenants, marks = range(1, 17), claimer.known.marks
    settled = results(claimer.claim(10)).arguments()
    band_numbers = array_literal(range(1, 17))
    positions = claims._PRIORITY_ARRAY, array_literal(marks.claimable_at.values()), array_literal(marks.id.values())
    line_marks = {"default": {"5": {"0": "2026-01-01 00:00:00+00"}}}
    claimer.storage.rows("UPDATE workers SET line_marks = %s", (json.dumps(line_marks),))
    return {
        lines.SETTLE_AND_CLAIM_BY_LINE: (
            *(claimer.id, *settled, "default", array_literal(tenants), band_numbers, band_numbers),
            array_literal([CLAIMED] * 16),
            *(array_literal([5] * 16), array_literal(["-infinity"] * 16), array_literal([NIL_UUID] * 16), CLAIMED),
        ),
        lines.WAITING_BANDS: ("default", 0, -1, 1_000),
        lines.NEW_BANDS: (claimer.id, "default", "2026-01-01 00:00:00+00", 3_000),
        line_strays.REQUEUE_LINE_STRAYS: (None, 1_000),
        claims.SETTLE_AND_CLAIM: (claimer.id, *settled, "default", *positions, CLAIMED),
    }


def _plans(connection: WorkerConnection, arguments: dict[Statement, Sequence[object]]) -> dict[str, Plan]:
    return {statement.name: explain(connection, statement, arguments[statement]) for statement in BY_LINE + BY_QUEUE}


def _unbounded(plans: dict[str, Plan]) -> dict[str, list[str]]:
    """Return the scans that no known place bounds. News are of few jobs, which may be sorted."""
    found = {name: plan.unbounded("live") for name, plan in plans.items()}
    found[lines.NEW_BANDS.name] = [node for node in found.get(lines.NEW_BANDS.name, []) if "Sort of" not in node]
    return {name: nodes for name, nodes in found.items() if nodes}


@pytest.mark.parametrize("state", STATES)
def test_claims_by_line_and_looks_at_lines_scan_their_index_from_a_known_place(
    storage: Storage, claimer: FairClaimer, state: str
) -> None:
    _prepare(storage, state)
    plans = _plans(storage.connection(), _arguments(claimer))
    assert _unbounded(plans) == {}
    for statement in BY_QUEUE:
        plan = plans[statement.name]
        assert plan.read("live", "live_line") == 0, plan
    claim, looked = (plans[statement.name] for statement in (BY_LINE[0], lines.WAITING_BANDS))
    assert claim.read("live", "live_due") == 0, claim
    assert claim.read("live", "live_line") <= 2 * CLAIMED, claim
    assert claim.buffers < 60 * CLAIMED, claim
    assert looked.read("live", "live_line") <= TENANTS + 1, looked


@pytest.mark.parametrize("state", STATES)
def test_the_controller_finds_strays_of_lines_by_their_index(
    storage: Storage, claimer: FairClaimer, state: str
) -> None:
    """Its connection plans as PostgreSQL likes to."""
    _prepare(storage, state)
    statement = line_strays.REQUEUE_LINE_STRAYS
    plan = explain(storage.connection(by_index=False), statement, _arguments(claimer)[statement])
    assert {scan["Index Name"] for scan in plan.scans("live") if "live_due" in str(scan)} == set()
    assert plan.read("live", "live_line") < 10 * TENANTS, plan


def test_a_plan_made_on_an_empty_table_is_replaced_before_the_backlog_matters(
    storage: Storage, claimer: FairClaimer
) -> None:
    connection, arguments = storage.connection(), _arguments(claimer)

    def run_all() -> None:
        for statement in BY_LINE + BY_QUEUE:
            connection._cursor.execute("BEGIN")
            connection.run(statement, arguments[statement])
            connection._cursor.execute("ROLLBACK")

    for _ in range(6):  # from the sixth on PostgreSQL may cache a generic plan
        run_all()
    _prepare(storage, "filled")

    def all_bounded() -> bool:
        run_all()
        return _unbounded(_plans(connection, arguments)) == {}

    until("every plan is bounded", all_bounded, 10)
