"""`make hostile`: a seeded run of hostile requests and messages, then the laws. `python -m hostile.run --seed 7`.

The same seed makes the same requests in the same order for each client. Exit code 0: every law held; 1: one is broken.
"""

import contextlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from faults.laws import report
from faults.lifecycle import Environment
from faults.verdict import Verdict
from rig.hostile_messages import fuzzed
from rig.issuer import AUDIENCE, Issuer, Key
from rig.keys import REQUIRED, bearer, new_key
from rig.process_usage import memory_mib
from rig.system import Database, System

from common.broker.doorbells import celery_queue
from common.command_line import command_line
from hostile import laws
from hostile.callers import Callers
from hostile.connection import Exchange, exchange
from hostile.laws import SLOW_S, Observations, StoredJob
from hostile.requests import Requests
from hostile.wire import broken

SECONDS, REQUESTS, CLIENTS = 60.0, 5_000, 4
MESSAGES_A_REQUEST = 0.5  # pushed into Redis beside the requests
PARTS = ("api", "worker", "controller")
_STORED = "SELECT id::text, operation, input::text, tags, metadata::text, tenant FROM jobs"


class HostileEnvironment(Environment):
    """The servers of a run, and a system that is not started."""

    def _start(self) -> None:
        self.postgres, self.redis = self._start_servers(self.folder, {"max_connections": "60"})
        self.system = System(self.folder, self.postgres.url(), self.redis.url)
        self._stack.callback(self.system.close)
        self.system.database = Database(self.postgres.url())


@contextlib.contextmanager
def started(system: System) -> Iterator[Callers]:
    """Start an API that requires authentication, a worker of two processes and a controller. Yields its callers."""
    key = Key("RS256", "a")
    with contextlib.closing(Issuer(key)) as issuer:
        system.all(**REQUIRED, JOBPROC_OIDC_ISSUER=issuer.url, JOBPROC_OIDC_AUDIENCES=AUDIENCE)
        system.client.headers.update(bearer(new_key(system.database)))
        yield Callers.create(system.database, issuer, Key("RS256", "a"))


class Run:
    """Hostile clients of one running system."""

    def __init__(self, system: System, callers: Callers, seed: int) -> None:
        """`system` has an API, a worker and a controller."""
        self._system, self._callers, self._seed = system, callers, seed
        self._exchanges: list[Exchange] = []
        self._early_mib: dict[str, float] = {}
        self._pids = self._processes()

    def execute(self, seconds: float, requests: int, clients: int = CLIENTS) -> dict[str, Verdict]:
        """Send at most `requests` for at most `seconds`, and return the verdicts of the laws."""
        until_s = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._attack, args=(number, until_s, requests // clients), daemon=True)
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        again_s = {
            index: exchange(self._system.port, [seen.sent], seen.request, seen.caller).seconds
            for index, seen in enumerate(self._exchanges)
            if seen.seconds > SLOW_S
        }
        goes_on = self._work_goes_on()
        now = self._processes()
        return laws.check(
            Observations(
                exchanges=self._exchanges,
                stored={row[0]: StoredJob(*row[1:]) for row in self._system.database.rows(_STORED)},
                slow_again_s=again_s,
                ended=[name for name, pid in self._pids.items() if now.get(name) != pid],
                memory_mib={name: (early, memory_mib(now[name])) for name, early in self._early_mib.items()},
                work_goes_on=goes_on,
            )
        )

    def _attack(self, number: int, until_s: float, count: int) -> None:
        """Send requests, broken bytes and messages, as one of the clients."""
        chance = random.Random(f"{self._seed}-{number}")
        requests, messages = Requests(chance, self._callers), fuzzed(chance.randrange(2**32), count)
        with redis.Redis.from_url(self._system.env["REDIS_URL"]) as client:
            for sent in range(count):
                if time.monotonic() > until_s:
                    break
                request = requests.next()
                # A changed byte could make a wrong key a right one.
                if chance.random() < 0.3 and (request.caller.is_known or not request.caller.headers):
                    seen = exchange(self._system.port, broken(request.raw(), chance), caller=request.caller)
                else:
                    seen = exchange(self._system.port, [request.raw()], request)
                    for answer in seen.answers:
                        if answer.status == 202 and request.submission is not None:
                            requests.accepted(answer.json()["job_id"])
                self._exchanges.append(seen)
                if chance.random() < MESSAGES_A_REQUEST:
                    client.lpush(celery_queue("default"), next(messages))
                if number == 0 and sent == count // 10:
                    self._early_mib = {name: memory_mib(pid) for name, pid in self._processes().items()}

    def _processes(self) -> dict[str, int]:
        """Return the pids of the parts and of the worker's processes that run now."""
        pids = {part: self._system.processes[part].pid for part in PARTS if self._system.processes[part].poll() is None}
        return pids | {f"worker process {index}": pid for index, pid in enumerate(sorted(self._system.children()))}

    def _work_goes_on(self) -> bool:
        with contextlib.suppress(AssertionError, KeyError):
            return bool(self._system.wait(self._system.submit("square_sum", 1, 2, 3), 20)["result"] == 14)
        return False


def is_broken(verdicts: dict[str, Verdict]) -> bool:
    """Return True if a law is broken, or had nothing to judge."""
    return any(verdict.violations or not verdict.judged for verdict in verdicts.values())


def main() -> int:
    """Run, print the report, and return the exit code."""
    parser = command_line("hostile.run", __doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="at most (default: %(default)g)")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="at most (default: %(default)s)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobproc-hostile-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, at most {options.seconds:g} s, in {folder}", flush=True)
    environment = HostileEnvironment(folder)
    try:
        with started(environment.system) as callers:
            verdicts = Run(environment.system, callers, options.seed).execute(options.seconds, options.requests)
    finally:
        environment.close()
    print(report(verdicts))
    return 1 if is_broken(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
