"""Bulk actions: previews, phases, expiry."""

from dataclasses import replace

import pytest
from integration.store.support.bulk_actions import LIMITS, ActionDriver, start_action
from integration.store.support.storage import Storage

from common.domain.bulk_actions import ActionKind, ActionRequest
from common.domain.errors import BulkActionNotFound, CountNotConfirmed, TooManyPreviews, WrongPhase
from common.domain.job import Options
from common.store.bulk_actions import steps


def test_a_preview_counts_exactly_within_its_scan_limit_and_estimates_beyond(
    storage: Storage, actions: ActionDriver
) -> None:
    storage.fill(500, queue="other")
    storage.fill(1_500)
    storage.rows("ANALYZE live")
    exact = actions.preview(ActionKind.CANCEL, queue="other")
    assert (exact["count"], exact["count_is_exact"]) == (500, True)
    assert [job["job_id"] for job in exact["sample"]] == [
        row[0] for row in storage.rows("SELECT id::text FROM live ORDER BY id LIMIT 10")
    ]
    assert {(job["status"], job["operation"]) for job in exact["sample"]} == {("PENDING", "square_sum")}
    estimate = actions.preview(ActionKind.CANCEL, limits=replace(LIMITS, scanned=1_000))
    assert not estimate["count_is_exact"] and 1_500 < estimate["count"] < 2_500
    assert storage.value("SELECT count(*) FROM live") == 2_000, "nothing is changed before the start"


def test_an_estimate_is_at_least_the_number_of_scanned_matches(storage: Storage, actions: ActionDriver) -> None:
    storage.rows("ANALYZE tags")
    storage.store([replace(job, options=Options(tags=("t",))) for job in storage.new(50)])
    action = actions.preview(ActionKind.CANCEL, limits=replace(LIMITS, scanned=20), tag="t")
    assert not action["count_is_exact"] and action["count"] >= 20


def test_a_request_that_the_phase_does_not_allow_changes_nothing(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(1)
    bulk_action_id = str(actions.preview(ActionKind.CANCEL, queue="default")["id"])
    for verb in (ActionRequest.STOP, ActionRequest.UNDO):
        with pytest.raises(WrongPhase, match="PREVIEW"):
            actions.request(bulk_action_id, verb)
    assert actions.run_step(bulk_action_id) is None
    actions.request(bulk_action_id, ActionRequest.START)
    actions.finish(bulk_action_id)
    with pytest.raises(WrongPhase, match="DONE"):
        actions.request(bulk_action_id, ActionRequest.START)


def test_an_action_on_all_jobs_starts_only_with_the_count_of_its_preview(
    storage: Storage, actions: ActionDriver
) -> None:
    storage.submit(3)
    preview = actions.preview(ActionKind.CANCEL)
    bulk_action_id = str(preview["id"])
    for count in (None, 0, 4):
        with pytest.raises(CountNotConfirmed, match=r'{"count": 3}') as caught:
            actions.request(bulk_action_id, ActionRequest.START, count)
        assert caught.value.count == 3
    assert actions.read(bulk_action_id)["phase"] == "PREVIEW"
    assert actions.request(bulk_action_id, ActionRequest.START, 3)["phase"] == "RUNNING"
    assert actions.request(bulk_action_id, ActionRequest.START)["phase"] == "RUNNING", "safe to repeat"
    actions.request(bulk_action_id, ActionRequest.STOP)
    assert actions.request(bulk_action_id, ActionRequest.START)["phase"] == "RUNNING", "it was confirmed before"


def test_the_count_is_optional_for_an_action_with_a_filter_but_checked(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(3)
    first, second = (str(actions.preview(ActionKind.CANCEL, queue="default")["id"]) for _ in range(2))
    with pytest.raises(CountNotConfirmed, match="not that of the preview"):
        actions.request(first, ActionRequest.START, 2)
    assert actions.request(first, ActionRequest.START, 3)["phase"] == "RUNNING"
    assert actions.request(second, ActionRequest.START)["phase"] == "RUNNING"


def test_at_the_limit_of_previews_the_oldest_gives_way_once_it_is_old_enough(
    storage: Storage, actions: ActionDriver
) -> None:
    limits = replace(LIMITS, previews=3, protected_s=60)
    storage.submit(1)
    first, second, third = (str(actions.preview(ActionKind.CANCEL, limits=limits)["id"]) for _ in range(3))
    with pytest.raises(TooManyPreviews) as caught:
        actions.preview(ActionKind.CANCEL, limits=limits)
    assert 50 <= caught.value.retry_after_s <= 60
    assert storage.value("SELECT count(*) FROM bulk_actions") == 3
    storage.rows(
        "UPDATE bulk_actions SET created_at = created_at - interval '61 s' WHERE id IN (%s, %s)", (first, second)
    )
    actions.preview(ActionKind.CANCEL, limits=limits)
    assert [actions.read(action_id)["phase"] for action_id in (first, second, third)] == [
        "EXPIRED",
        "PREVIEW",
        "PREVIEW",
    ]
    with pytest.raises(WrongPhase, match="EXPIRED"):
        actions.request(first, ActionRequest.START, 1)
    actions.request(third, ActionRequest.START, 1)
    actions.preview(ActionKind.CANCEL, limits=limits)
    assert actions.read(second)["phase"] == "PREVIEW", "a started action leaves its place"
    with pytest.raises(TooManyPreviews):
        actions.preview(ActionKind.CANCEL, limits=replace(limits, previews=1))


def test_a_failed_step_stops_its_action_which_has_the_error_and_can_be_started_again(
    storage: Storage, actions: ActionDriver
) -> None:
    storage.submit(1)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    steps.fail(actions.connection, bulk_action_id, "no such column")
    action = actions.read(bulk_action_id)
    assert (action["phase"], action["error"]) == ("STOPPED", "no such column")
    assert actions.request(bulk_action_id, ActionRequest.START)["error"] is None
    assert actions.finish(bulk_action_id)["done"] == 1


def test_previews_and_finished_actions_expire_with_their_records(
    storage: Storage, actions: ActionDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_DELETED", 2)
    storage.submit(5)
    preview = actions.preview(ActionKind.REPRIORITISE, priority=1)
    done = start_action(actions, ActionKind.CANCEL)
    actions.finish(done)
    running = start_action(actions, ActionKind.CANCEL)
    assert steps.expire(actions.connection, 60, 60) == 0
    storage.rows("UPDATE bulk_actions SET changed_at = clock_timestamp() - interval '2 min'")
    assert steps.expire(actions.connection, 300, 300) == 0
    assert steps.expire(actions.connection, 60, 300) == 1, "the preview"
    while steps.expire(actions.connection, 60, 60):
        pass
    assert storage.value("SELECT count(*) FROM bulk_action_jobs") == 0
    assert actions.read(running)["phase"] == "RUNNING"
    for bulk_action_id in (str(preview["id"]), done):
        with pytest.raises(BulkActionNotFound):
            actions.read(bulk_action_id)
