"""Slots of event loops: all async jobs that run, the heartbeats of the loop, and the suspect."""

from common.domain.job import ClaimedJob
from worker.shared_memory.slots import IDLE, KillReason, RunningAttempt, Slot, Slots


def jobs(count: int) -> list[ClaimedJob]:
    return [
        ClaimedJob(f"01900000-0000-7000-8000-{number:012}", number + 1, 0, 3, "noop", "{}", 300_000)
        for number in range(count)
    ]


def suspect(slot: Slot) -> tuple[RunningAttempt | None, KillReason]:
    return slot.suspect, slot.kill_reason


def running(slot: Slot) -> tuple[list[RunningAttempt], RunningAttempt | None, int]:
    return slot.all_running, slot.running, slot.held_jobs


def test_the_parent_sees_all_async_jobs_the_heartbeats_of_their_loop_and_the_suspect() -> None:
    slots = Slots(1, 5, with_async=True)
    process, slot = slots.all[:2]
    process.take()
    slot.take(is_async=True)
    assert slots.process_slots == [process]
    assert (slot.is_async, process.is_async) == (True, False)
    assert (running(slot), suspect(slot)) == (([], None, 0), (None, KillReason.BLOCKS_LOOP))
    slot.set_running(jobs(3))
    assert [(attempt.job_id, attempt.attempt) for attempt in slot.all_running] == [
        (job.id, job.attempt) for job in jobs(3)
    ]
    assert running(slot)[1:] == (slot.all_running[0], 3)
    assert slot.heartbeats == 0
    slot.heartbeat()
    assert slot.heartbeats == 1
    slot.set_suspect(2, KillReason.TIMEOUT)
    assert suspect(slot) == (slot.all_running[2], KillReason.TIMEOUT)
    slot.set_suspect(IDLE, KillReason.BLOCKS_LOOP)
    assert suspect(slot) == (None, KillReason.BLOCKS_LOOP)
    slot.set_suspect(0, KillReason.IGNORES_CANCEL)
    slot.set_running(jobs(1))
    assert (slot.held_jobs, suspect(slot)) == (1, (None, KillReason.BLOCKS_LOOP))
    slot.set_running([])
    assert running(slot) == ([], None, 0)
    slot.free()
    assert not slot.is_async
    process.set_batch(jobs(3))
    process.start_job(1)
    assert process.all_running == [process.running]
