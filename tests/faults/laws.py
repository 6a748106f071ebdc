"""The laws that hold in every run, under any fault. To add a promise, write one more function and add it to LAWS."""

from collections.abc import Iterable

from faults.evidence import Evidence
from faults.laws_of_attempts import (
    a_failure_is_of_its_attempt,
    attempts_are_complete,
    attempts_do_not_overlap,
    effects_are_bounded,
)
from faults.laws_of_batches import a_batch_ends_once
from faults.laws_of_bulk_actions import a_bulk_action_is_complete
from faults.laws_of_cancel_retry import a_cancel_holds, a_manual_retry_is_one_more_run
from faults.laws_of_feed import a_feed_has_every_change_once
from faults.laws_of_jobs import (
    an_accepted_job_can_be_read,
    nothing_is_invented,
    nothing_is_lost,
    results_are_right,
    what_was_seen_stays,
)
from faults.laws_of_long_polls import a_long_poll_is_answered
from faults.laws_of_options import (
    a_key_stores_once,
    a_unique_key_is_held_by_one,
    jobs_of_a_running_key_take_turns,
    times_are_kept,
)
from faults.laws_of_queues import a_paused_queue_starts_nothing, jobs_of_a_limited_key_take_turns
from faults.laws_of_schedules import a_schedule_fires_each_instant_once
from faults.laws_of_service import (
    errors_are_those_of_an_absent_database,
    everything_is_drained,
    no_due_job_waits_beside_an_idle_worker,
)
from faults.laws_of_tenants import (
    a_flood_delays_nobody_else,
    a_valid_key_is_accepted,
    an_ended_key_is_refused,
    tenants_are_kept_apart,
)
from faults.verdict import Law, Verdict

MAX_SHOWN = 10  # violations of a law in a report

LAWS: tuple[Law, ...] = (
    nothing_is_lost,
    nothing_is_invented,
    an_accepted_job_can_be_read,
    results_are_right,
    what_was_seen_stays,
    attempts_are_complete,
    attempts_do_not_overlap,
    a_failure_is_of_its_attempt,
    effects_are_bounded,
    errors_are_those_of_an_absent_database,
    no_due_job_waits_beside_an_idle_worker,
    a_long_poll_is_answered,
    everything_is_drained,
    a_cancel_holds,
    a_manual_retry_is_one_more_run,
    a_key_stores_once,
    a_unique_key_is_held_by_one,
    jobs_of_a_running_key_take_turns,
    times_are_kept,
    a_bulk_action_is_complete,
    a_batch_ends_once,
    tenants_are_kept_apart,
    a_valid_key_is_accepted,
    an_ended_key_is_refused,
    a_flood_delays_nobody_else,
    a_schedule_fires_each_instant_once,
    a_feed_has_every_change_once,
    a_paused_queue_starts_nothing,
    jobs_of_a_limited_key_take_turns,
)


def check(run: Evidence, laws: Iterable[Law] = LAWS) -> dict[str, Verdict]:
    """Return the verdict of each law, by its name."""
    verdicts = {}
    for law in laws:
        verdicts[law.__name__] = verdict = Verdict()
        law(run, verdict)
    return verdicts


def report(verdicts: dict[str, Verdict]) -> str:
    """Return the verdicts as text: one line a law, and its first violations."""
    lines = []
    for name, verdict in verdicts.items():
        state = "BROKEN" if verdict.violations else "held" if verdict.judged else "VOID"
        lines.append(f"  {state:6} {name.replace('_', ' ')} ({verdict.judged} facts)")
        lines += [f"         {text}" for text in verdict.violations[:MAX_SHOWN]]
    return "\n".join(lines)
