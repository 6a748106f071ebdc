"""Async jobs: many that only wait, in one process, and the memory that the process keeps afterwards."""

import psutil

from tests.benchmarks.disturbances import Scene
from tests.benchmarks.payload_limits import ended, submit
from tests.benchmarks.setting import Figure, Stage

WAIT_S = 0.1  # for which each job waits
RATE = (
    "SELECT count(*) / extract(epoch FROM max(o.finished_at) - min(o.started_at)), max(o.execution_s) "
    "FROM outcomes o JOIN jobs j ON j.id = o.id WHERE j.operation = 'await_only' AND o.execution_s >= 0.1"
)


def async_jobs(stage: Stage) -> list[Figure]:
    """Drain a backlog of jobs of an `async def` operation in one process."""
    jobs, at_once = stage.options.async_jobs, stage.settings.max_batch_jobs
    with stage.scene(processes=1) as there:
        submit(there, "noop", [1.0], 1_000, at_once)
        ended(there, 1_000)
        before_mib = _own_mib(there)
        submit(there, "await_only", [0.0], 1, at_once)
        ended(there, 1_001)
        idle_mib = _own_mib(there)
        database = there.connect()
        submit(there, "await_only", [WAIT_S], jobs, at_once)
        unfinished = ended(there, jobs + 1_001)[0]
        with database, database.cursor() as cursor:
            cursor.execute(RATE)
            ((rate, longest_s),) = cursor.fetchall()
        database.close()
        busy_mib = _own_mib(there)
    ideal = stage.settings.async_concurrency / WAIT_S
    return [
        Figure("jobs/s", float(rate)),
        Figure(
            f"… to the {ideal:g} that {stage.settings.async_concurrency} places allow",
            float(rate) / ideal,
            at_least=0.5,
        ),
        Figure("longest run in s", float(longest_s)),
        Figure("MiB of the process before its first such job", before_mib),
        Figure("… more with an idle event loop", idle_mib - before_mib, at_most=5),
        Figure("… more after all of them", busy_mib - before_mib, at_most=20),
        Figure("jobs that have not ended", unfinished, at_most=0),
    ]


def _own_mib(there: Scene) -> float:
    (process,) = psutil.Process(there.system.processes["worker0"].pid).children()
    return float(process.memory_full_info().uss) / 2**20
