"""The law of schedules."""

from faults.evidence import Evidence
from faults.verdict import Verdict


def a_schedule_fires_each_instant_once(run: Evidence, verdict: Verdict) -> None:
    """Each instant of a schedule is decided once, and those that fired have one job each.

    What a clock that was set forward has made late is decided too, as missed or fired.
    """
    for schedule in run.schedules:
        decided, had = schedule.decided(), schedule.instants()
        verdict.expect(
            decided == had,
            f"schedule {schedule.name} had {len(had)} instants, and {len(decided)} are decided; first difference at "
            f"{next((one for one, other in zip(decided, had, strict=False) if one != other), 'the end')}",
        )
        fired = [fire for fire in schedule.fires if fire.has_job]
        verdict.expect(
            all(fire.is_job_stored for fire in fired) and len(fired) == schedule.jobs,
            f"schedule {schedule.name} has fired {len(fired)} times and has submitted {schedule.jobs} jobs",
        )
