"""Jobs that only wait, many at a time in one process; and what that process keeps for it once none is left."""

import psutil

from tests.benchmarks.disturbances import Scene
from tests.benchmarks.limits import ended, submit
from tests.benchmarks.setting import Figure, Stage

WAIT_S = 0.1  # of each job
RATE = (
    "SELECT count(*) / extract(epoch FROM max(o.finished_at) - min(o.started_at)), max(o.run_s) FROM outcomes o JOIN jobs j ON j.id = o.id "
    "WHERE j.operation = 'await_only' AND o.run_s >= 0.1"
)


def together(stage: Stage) -> list[Figure]:
    """A backlog of jobs of an `async def` operation, drained by one process."""
    jobs, at_once = stage.options.together, stage.settings.max_batch_jobs
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
            ((rate, most),) = cursor.fetchall()
        database.close()
        busy_mib = _own_mib(there)
    ideal = stage.settings.async_jobs / WAIT_S
    return [
        Figure("jobs/s", float(rate)),
        Figure(f"… to the {ideal:g} that {stage.settings.async_jobs} places allow", float(rate) / ideal, least=0.5),
        Figure("longest run in s", float(most)),
        Figure("MiB of the process before its first such job", before_mib),
        Figure("… more with an idle event loop", idle_mib - before_mib, most=5),
        Figure("… more after all of them", busy_mib - before_mib, most=20),
        Figure("jobs that have not ended", unfinished, most=0),
    ]


def _own_mib(there: Scene) -> float:
    (process,) = psutil.Process(there.system.processes["worker0"].pid).children()
    return float(process.memory_full_info().uss) / 2**20
