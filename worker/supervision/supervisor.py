"""The supervisor: renews the leases of a worker's processes, enforces time limits, recovers jobs of ended processes.

It runs in the parent, so user code that holds the GIL of its process, or kills the process, cannot stop it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context

from common.broker.doorbells import Doorbell
from common.domain.decisions import CANCELLED, EXIT_IGNORED, RELEASED, loop_blocked, timed_out
from common.domain.webhooks.events import RESERVED_PREFIX
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.queues import queue_state
from common.store.workers import leases
from common.telemetry import logs
from worker.health import Health
from worker.job_logs.storage import JobLogStorage
from worker.operations.installed import InstalledOperation
from worker.process_tree.exits import ProcessExits
from worker.process_tree.memory_limit import MemoryLimit, memory_files
from worker.process_tree.orphans import Orphans
from worker.process_tree.processes import is_alive, state_of
from worker.shared_memory.slots import KillReason, RunningAttempt, Slot, Slots
from worker.supervision.cancellation import CancellationCheck
from worker.supervision.crash_recovery import CrashRecovery, ExitReason
from worker.supervision.death_causes import DeathCauses
from worker.supervision.idle_poll import IdlePoller
from worker.supervision.publication import Publication
from worker.supervision.throughput import Throughput

log = logs.get("worker")
SHUT_DOWN_POLL_S = 0.02
STOP_TIMEOUT_S = 1.0  # longest wait for a process to stop on SIGSTOP


class Supervisor:
    """Watches over the processes of one worker, from a thread of the parent."""

    def __init__(
        self,
        settings: Settings,
        slots: Slots,
        operations: Mapping[str, InstalledOperation],
        doorbell: Doorbell,
        queues: Sequence[str],
        exits: ProcessExits,
    ) -> None:
        self._health = Health(settings.health_file, settings.stalled_consumer_seconds, queues)
        self._idle_poller = IdlePoller(settings.tick_seconds)
        self._cancellation = CancellationCheck(settings)
        self._settings = settings
        self._slots = slots
        self._metrics = slots.metrics.parent
        self._throughput = Throughput(slots.metrics, time.time)
        self._orphans = Orphans(settings.child_process_grace_seconds)
        self._exits = exits
        self._death_causes = DeathCauses(exits, MemoryLimit(memory_files()))
        self._crash_recovery = CrashRecovery(settings, operations, self._metrics, doorbell)
        specs = [each.spec for each in operations.values() if not each.spec.name.startswith(RESERVED_PREFIX)]
        self._publication = Publication(specs, settings.reconnect_max_delay_seconds)
        self.job_logs: JobLogStorage | None = None  #: None: nothing is stored of what operations log
        self._open_connection: WorkerConnection | None = None
        self._renewed_at = 0.0
        # Each by process id.
        self._running: dict[int, tuple[RunningAttempt, float]] = {}  # its attempt, and since when that runs
        self._heartbeats: dict[int, tuple[int, float]] = {}  # the last count of its event loop, and when that changed
        self._busy_since: dict[int, float] = {}  # since when its event loop has had a job
        self._exit_reasons: dict[int, ExitReason] = {}  # why this parent killed the process
        self._drain_until: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Recover the jobs that are still held, and end. Waits no longer than twice the timeout of the database."""
        self._stopped.set()
        if self._thread.ident is not None:  # None if Redis was unavailable: the worker never became ready
            self._thread.join(self._settings.database_timeout_seconds * 2)

    def _run(self) -> None:
        pause = self._settings.supervisor_interval_milliseconds / 1000
        while not self._stopped.wait(pause):
            self._guarded(self._check_all)
        self._guarded(self._shut_down)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except DatabaseUnavailable as error:
            log.warning("database_unavailable", reason=str(error).strip(), connection="supervisor")
            self._close()
            self._health.write(time.monotonic(), stalled=False, ready=any(slot.worker for slot in self._slots.all))
            time.sleep(min(1.0, self._settings.heartbeat_seconds / 2))
        except Exception:
            log.exception("supervisor_failed")  # the next check tries again; a lease that is not renewed ends by itself
            self._close()

    def _check_all(self) -> None:
        now = time.monotonic()
        if self._slots.draining and self._drain_until is None:
            self._drain_until = now + self._settings.shutdown_grace_seconds
        for slot in self._slots.all:
            if slot.pid:
                (self._check_event_loop if slot.is_async else self._check_process)(slot, now)
        if self.job_logs is not None:
            self.job_logs.tick()
        if now - self._renewed_at >= self._settings.heartbeat_seconds:
            self._renew()
            self._renewed_at = now
        self._cancellation.tick(now, self._slots.process_slots, self._running, self._cancel_requested)
        self._publication.tick(now, self._connection)
        self._crash_recovery.log.say_unlogged()
        self._report(now)

    def _cancel_requested(self, running: Sequence[tuple[str, int, int]]) -> set[int]:
        return {worker for worker, _ in leases.find_cancelled(self._connection(), running)}

    def _report(self, now: float) -> None:
        """Publish the worker's state to its probes."""
        taken = [slot for slot in self._slots.process_slots if slot.last_claim_s]  # others start
        idle = [slot for slot in taken if slot.running is None]
        last_claim = max((slot.last_claim_s for slot in taken), default=now)
        accepts_jobs = bool(idle) and not self._slots.draining
        if accepts_jobs:
            self._idle_poller.tick(now, idle, busy=len(idle) < len(taken))
        stalled = accepts_jobs and self._health.is_stalled(
            now, last_claim, lambda: queue_state.due_queues(self._connection())
        )
        self._health.write(now, stalled=stalled, ready=any(slot.worker for slot in taken))

    def _check_process(self, slot: Slot, now: float) -> None:
        if not is_alive(slot.pid):
            self._recover_after_orphans(slot.pid, now)
            return
        draining_too_long = self._drain_until is not None and now > self._drain_until
        running = slot.running
        if running is None:
            self._running.pop(slot.pid, None)
            if draining_too_long:  # it is idle, or waits for the database
                self._send_kill(slot.pid, ExitReason(RELEASED))
                self._recover(slot.pid)
            return
        known, since = self._running.get(slot.pid, (None, now))
        if known is None or (known.batch, known.position) != (running.batch, running.position):
            self._running[slot.pid] = (running, now)
            since = now
        if running.timeout_ms and now - since > running.timeout_ms / 1000:
            self._kill(slot, ExitReason(timed_out(running.timeout_ms), running))
        elif self._cancellation.is_overdue(slot.pid, running, now):
            self._kill(slot, ExitReason(CANCELLED, running))
        elif draining_too_long:
            self._kill(slot, ExitReason(RELEASED, running))

    def _check_event_loop(self, slot: Slot, now: float) -> None:
        """Kill a process whose event loop is blocked or reports a job that does not end. The loop enforces timeouts."""
        running, suspect, limit_s = slot.running, slot.suspect, self._settings.event_loop_block_timeout_seconds
        heartbeats, since = self._heartbeats.get(slot.pid, (-1, now))
        if running is None:
            self._busy_since.pop(slot.pid, None)
        else:
            self._busy_since.setdefault(slot.pid, now)
        if running is None or heartbeats != slot.heartbeats:
            self._heartbeats[slot.pid] = slot.heartbeats, now
            since = now
        if now - since > limit_s:
            self._kill(slot, ExitReason(loop_blocked(limit_s), suspect))
        elif suspect is not None and slot.kill_reason is not KillReason.BLOCKS_LOOP:
            failures = {KillReason.IGNORES_CANCEL: CANCELLED, KillReason.IGNORES_EXIT: EXIT_IGNORED}
            failure = failures.get(slot.kill_reason, timed_out(suspect.timeout_ms))
            self._kill(slot, ExitReason(failure, suspect))
        elif running is not None and self._drain_until is not None and now > self._drain_until:
            self._kill(slot, ExitReason(RELEASED, running))

    def _kill(self, slot: Slot, exit_reason: ExitReason) -> None:
        """Kill a process because of the attempt that it runs, unless it has moved on meanwhile."""
        pid, before = slot.pid, _activity(slot)
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + STOP_TIMEOUT_S
        while state_of(pid) not in "TtZX" and time.monotonic() < until:
            time.sleep(0.001)
        if _activity(slot) != before:
            os.kill(pid, signal.SIGCONT)
            return
        has_started_processes = self._orphans.ask_to_end(pid, time.monotonic())
        self._send_kill(pid, exit_reason)
        log.warning(
            "process_killed",
            pid=pid,
            worker=slot.worker,
            job_id=exit_reason.attempt.job_id if exit_reason.attempt else None,
            reason=exit_reason.failure.error_type,
        )
        if not has_started_processes:
            self._recover(pid)

    def _send_kill(self, pid: int, exit_reason: ExitReason) -> None:
        self._exit_reasons[pid] = exit_reason  # before the pool can see that the process has ended
        self._exits.expect(pid)
        os.kill(pid, signal.SIGKILL)

    def _is_death_explained(self, pid: int, now: float) -> bool:
        """Return True if it is known why a process has ended, now or from before."""
        if pid not in self._exit_reasons and (failure := self._death_causes.find(pid, now)):
            self._exit_reasons[pid] = ExitReason(failure)
        return pid in self._exit_reasons

    def _recover_after_orphans(self, pid: int, now: float) -> None:
        """Recover the jobs of a process if everything that they have started has ended: none runs twice at once."""
        have_ended = self._orphans.have_ended(self._pids, now)
        if self._is_death_explained(pid, now) and have_ended:
            self._recover(pid)

    def _pids(self) -> set[int]:
        return {slot.pid for slot in self._slots.all if slot.pid}

    def _recover(self, pid: int) -> None:
        known, since = self._running.get(pid, (None, 0.0))
        slots = [slot for slot in self._slots.all if slot.pid == pid]
        was_seen = any(known == attempt for slot in slots for attempt in slot.all_running)
        self._crash_recovery.recover(
            self._connection,
            slots,
            self._exit_reasons.get(pid, ExitReason()),
            time.monotonic() - since if was_seen else 0.0,  # 0: it ended before the first check
        )
        for by_pid in (self._running, self._heartbeats, self._busy_since, self._exit_reasons):
            by_pid.pop(pid, None)
        self._death_causes.forget(pid)

    def _renew(self) -> None:
        self._death_causes.tick()
        slots = {slot.worker: slot for slot in self._slots.all if slot.worker}
        first = min(slots, default=0)
        finished = self._throughput.row_for_worker(first)
        renewals = [
            leases.LeaseRenewal(
                worker,
                slot.held_jobs,
                slot.low_water_marks,
                finished if worker == first else {},
                self._running_s(slot),
                slot.line_marks,
            )
            for worker, slot in slots.items()
        ]
        renewed = leases.renew(self._connection(), self._settings.lease_seconds, renewals)
        if first in renewed:
            self._throughput.mark_stored()
        for worker, slot in slots.items():
            if worker not in renewed and slot.worker == worker:
                log.warning("lease_lost", worker=worker, pid=slot.pid)
                self._metrics.count_lease_lost()
                slot.register(0)  # its process registers anew before its next claim

    def _running_s(self, slot: Slot) -> float | None:
        """Return for how many seconds the slot has had a job, at most since the first check that saw it."""
        since = self._busy_since.get(slot.pid) if slot.is_async else self._running.get(slot.pid, (None, None))[1]
        return None if since is None else time.monotonic() - since

    def _shut_down(self) -> None:
        pids = self._pids()
        for pid in pids:
            if is_alive(pid):
                self._send_kill(pid, ExitReason(RELEASED))
        until = time.monotonic() + self._settings.child_process_grace_seconds + STOP_TIMEOUT_S
        while not self._orphans.have_ended(self._pids, now := time.monotonic()) and now < until:
            time.sleep(SHUT_DOWN_POLL_S)
        for pid in pids:
            self._recover(pid)
        self._close()

    def _connection(self) -> WorkerConnection:
        if self._open_connection is None:
            self._open_connection = WorkerConnection(self._settings, "supervisor", by_index=True)
        return self._open_connection

    def _close(self) -> None:
        if self._open_connection is not None:
            self._open_connection.close()
        self._open_connection = None


def _activity(slot: Slot) -> tuple[RunningAttempt | None, RunningAttempt | None, int]:
    """Return a snapshot that differs from any earlier one as soon as the process makes progress."""
    return slot.running, slot.suspect, slot.heartbeats
