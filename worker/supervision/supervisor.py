"""The parent's watch over its processes: renews their leases, ends what runs past its limit, gives back what a dead one held.

It runs in the parent, so user code that holds its process's GIL, or kills the process, cannot stop it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.broker.doorbells import Bell
from common.domain.decisions import CANCELLED, RELEASED, loop_blocked, timed_out
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.queues import queue_state as store_queues
from common.store.workers import leases
from common.telemetry import logs
from worker.health import Health
from worker.operations.registry import Operation
from worker.shared_memory.slots import Blame, Running, Seat, Seats
from worker.supervision.cancellation import Cancellation
from worker.supervision.crash_recovery import Burial, Fate
from worker.supervision.idle_poll import Lookout
from worker.supervision.pod_deletion_cost import DeletionCost
from worker.supervision.throughput import Throughput

log = logs.get("worker")
STOP_S = 1.0  # longest wait for a process to stop on SIGSTOP


class Watch:
    """Keeps the leases of one worker's processes, from a thread of the parent."""

    def __init__(
        self, settings: Settings, seats: Seats, operations: Mapping[str, Operation], bell: Bell, queues: Sequence[str], publish: Callable[[Hot], None]
    ) -> None:
        """`publish` is called until it does not raise: once the database is there."""
        self._health = Health(settings.health_file, settings.deaf_seconds, queues)
        self._lookout = Lookout(settings.tick_seconds)
        self._cost = DeletionCost(settings)
        self._cancellation = Cancellation(settings)
        self._settings = settings
        self._seats = seats
        self._meter = seats.meters.of_parent
        self._throughput = Throughput(seats.meters, time.time)
        self._burial = Burial(settings, operations, self._meter, bell)
        self._publish: Callable[[Hot], None] | None = publish
        self._hot: Hot | None = None
        self._renewed = 0.0
        self._began: dict[int, tuple[Running, float]] = {}  # by process id: what runs there, and since when
        self._pulses: dict[int, tuple[int, float]] = {}  # by process id: of its event loop, and since when there was no other
        self._busy: dict[int, float] = {}  # by process id: since when anything runs in its event loop
        self._fates: dict[int, Fate] = {}  # by process id: why this parent ended its process
        self._drain_until: float | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Give back what is still held and end; waits no longer than a connection may take."""
        self._done.set()
        if self._thread.ident is not None:  # Redis was away: the worker never became ready
            self._thread.join(self._settings.database_timeout_seconds * 2)

    def _run(self) -> None:
        pause = self._settings.watch_milliseconds / 1000
        while not self._done.wait(pause):
            self._look(self._look_at_all)
        self._look(self._leave)

    def _look(self, work: Callable[[], None]) -> None:
        try:
            work()
        except AWAY as error:
            log.warning("database_away", reason=str(error).strip(), of="leases")
            self._close()
            self._health.write(time.monotonic(), deaf=False, ready=any(seat.worker for seat in self._seats.all))
            time.sleep(min(1.0, self._settings.heartbeat_seconds / 2))
        except Exception:
            log.exception("lease_watch_failed")  # the next look tries again; a lease that nobody renews ends by itself
            self._close()

    def _look_at_all(self) -> None:
        now = time.monotonic()
        if self._seats.draining and self._drain_until is None:
            self._drain_until = now + self._settings.grace_seconds
        for seat in self._seats.all:
            if seat.pid:
                (self._look_at_loop if seat.is_together else self._look_at)(seat, now)
        if now - self._renewed >= self._settings.heartbeat_seconds:
            self._renew()
            self._renewed = now
        self._cancellation.look(now, self._seats.of_processes, self._began, self._asked_to_stop)
        if self._publish is not None:
            self._publish(self._connection())
            self._publish = None
        self._tell(now)

    def _asked_to_stop(self, running: Sequence[tuple[str, int, int]]) -> set[int]:
        return {worker for worker, _ in leases.asked_to_stop(self._connection(), running)}

    def _tell(self, now: float) -> None:
        """Say how the worker is: to its probe, to whoever scales in."""
        taken = self._seats.of_processes
        idle = [seat for seat in taken if seat.running is None]
        looked = max((seat.looked_s for seat in taken), default=now)
        listens = bool(idle) and not self._seats.draining
        if listens:
            self._lookout.look(now, idle, busy=len(idle) < len(taken))
        deaf = listens and self._health.is_deaf(now, looked, lambda: store_queues.due(self._connection()))
        self._health.write(now, deaf=deaf, ready=any(seat.worker for seat in taken))
        since = [*(began for _, began in self._began.values()), *self._busy.values()]
        self._cost.tell(now - min(since) if since else None)

    def _look_at(self, seat: Seat, now: float) -> None:
        if not _alive(seat.pid):
            self._bury(seat.pid)
            return
        draining_too_long = self._drain_until is not None and now > self._drain_until
        running = seat.running
        if running is None:
            self._began.pop(seat.pid, None)
            if draining_too_long:  # it waits for the database, or for nothing
                os.kill(seat.pid, signal.SIGKILL)
                self._fates[seat.pid] = Fate(RELEASED)
                self._bury(seat.pid)
            return
        known, since = self._began.get(seat.pid, (None, now))
        if known is None or (known.batch, known.at) != (running.batch, running.at):
            self._began[seat.pid] = (running, now)
            since = now
        if running.timeout_ms and now - since > running.timeout_ms / 1000:
            self._end(seat, Fate(timed_out(running.timeout_ms), running))
        elif self._cancellation.is_overdue(seat.pid, running, now):
            self._end(seat, Fate(CANCELLED, running))
        elif draining_too_long:
            self._end(seat, Fate(RELEASED, running))

    def _look_at_loop(self, seat: Seat, now: float) -> None:
        """Look at what runs together in a process: each has its limit there, so that its event loop goes on is all that counts."""
        running, blamed, limit_s = seat.running, seat.blamed, self._settings.async_block_seconds
        known, since = self._pulses.get(seat.pid, (-1, now))
        if running is None:
            self._busy.pop(seat.pid, None)
        else:
            self._busy.setdefault(seat.pid, now)
        if running is None or known != seat.pulses:
            self._pulses[seat.pid] = seat.pulses, now
            since = now
        if now - since > limit_s:
            self._end(seat, Fate(loop_blocked(limit_s), blamed))
        elif blamed is not None and seat.blamed_for is not Blame.HOLDS_UP:
            self._end(seat, Fate(CANCELLED if seat.blamed_for is Blame.GOES_ON else timed_out(blamed.timeout_ms), blamed))
        elif running is not None and self._drain_until is not None and now > self._drain_until:
            self._end(seat, Fate(RELEASED, running))

    def _end(self, seat: Seat, fate: Fate) -> None:
        """End a process because of what it runs; not if it has gone on meanwhile."""
        pid, before = seat.pid, _where(seat)
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + STOP_S
        while _state(pid) not in "TtZX" and time.monotonic() < until:
            time.sleep(0.001)
        if _where(seat) != before:
            os.kill(pid, signal.SIGCONT)
            return
        os.kill(pid, signal.SIGKILL)
        log.warning("process_ended", pid=pid, worker=seat.worker, job_id=fate.of.job_id if fate.of else None, reason=fate.failure.error_type)
        self._fates[pid] = fate
        self._bury(pid)

    def _bury(self, pid: int) -> None:
        known, since = self._began.get(pid, (None, 0.0))
        seats = [seat for seat in self._seats.all if seat.pid == pid]
        same = any(known == one for seat in seats for one in seat.all_running)
        self._burial.bury(self._connection, seats, self._fates.get(pid, Fate()), time.monotonic() - since if same else 0.0)  # 0: it died before the first look
        for kept in (self._began, self._pulses, self._busy, self._fates):
            kept.pop(pid, None)

    def _renew(self) -> None:
        seats = {seat.worker: seat for seat in self._seats.all if seat.worker}
        first = min(seats, default=0)
        recent = self._throughput.of(first)
        renewals = [leases.Lease(w, seat.busy, seat.low, recent if w == first else {}) for w, seat in seats.items()]
        kept = leases.renew(self._connection(), self._settings.lease_seconds, renewals)
        if first in kept:
            self._throughput.stored()
        for worker, seat in seats.items():
            if worker not in kept and seat.worker == worker:
                log.warning("lease_lost", worker=worker, pid=seat.pid)
                self._meter.lease_lost()
                seat.register(0)  # its process takes a new id before its next claim

    def _leave(self) -> None:
        for seat in self._seats.all:
            if seat.pid:
                if _alive(seat.pid):
                    os.kill(seat.pid, signal.SIGKILL)
                    self._fates[seat.pid] = Fate(RELEASED)
                self._bury(seat.pid)
        self._close()

    def _connection(self) -> Hot:
        if self._hot is None:
            self._hot = Hot(self._settings, "leases", by_index=True)
        return self._hot

    def _close(self) -> None:
        if self._hot is not None:
            self._hot.close()
        self._hot = None


def _where(seat: Seat) -> tuple[Running | None, Running | None, int]:
    """Return what changes as soon as a process goes on."""
    return seat.running, seat.blamed, seat.pulses


def _alive(pid: int) -> bool:
    return _state(pid) not in "ZX"


def _state(pid: int) -> str:
    """Return the letter of a process's state, X for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path("/proc/self").exists():
        return "X"
    try:  # a system without /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return "X"
    return "T"
