"""Other jobs beside one that logs 10,000 lines a second, compared with the same job that logs a line a second."""

import statistics

from tests.benchmarks.measure import wait_until
from tests.benchmarks.payload_limits import submit
from tests.benchmarks.setting import Figure, Stage

LINES_A_SECOND = 10_000
RATE = (
    "SELECT count(*) / extract(epoch FROM max(o.finished_at) - min(o.started_at)) "
    "FROM outcomes o JOIN jobs j ON j.id = o.id WHERE j.operation = 'noop' AND o.finished_at > %s"
)
LEFT = "SELECT count(*) FROM live l JOIN jobs j ON j.id = l.id WHERE j.operation = 'noop'"
CHATTY = "SELECT o.status FROM outcomes o JOIN jobs j ON j.id = o.id WHERE j.operation = 'say_often'"


def chatty_job(stage: Stage) -> list[Figure]:
    """Drain a backlog with the process that a chatty job leaves, in turns with a quiet one."""
    rates: dict[int, list[float]] = {1: [], LINES_A_SECOND: []}
    statuses: list[str] = []
    with stage.scene(processes=2) as there:
        database = there.connect()
        database.autocommit = True
        with database.cursor() as cursor:

            def value(sql: str, *arguments: object) -> object:
                cursor.execute(sql, arguments)
                return cursor.fetchall()[0][0]

            for _ in range(stage.options.turns):
                for lines_a_second, found in rates.items():
                    seconds = stage.options.chatty_seconds
                    submit(there, "say_often", [seconds * lines_a_second, lines_a_second], 1, 1)
                    wait_until("the job runs", lambda: value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 1)
                    began = value("SELECT clock_timestamp()")
                    submit(there, "noop", [1.0], stage.options.chatty_backlog, stage.settings.max_batch_jobs)
                    wait_until("the backlog is drained", lambda: value(LEFT) == 0, 60)
                    found.append(float(str(value(RATE, began))))
                    wait_until("the job has ended", lambda: value("SELECT count(*) FROM live") == 0, 60)
            cursor.execute(CHATTY)
            statuses = [row[0] for row in cursor.fetchall()]
        database.close()
    quiet, chatty = (statistics.median(found) for found in rates.values())
    return [
        Figure("jobs/s beside a job that logs a line a second", quiet),
        Figure(f"… to those beside one that logs {LINES_A_SECOND:,}", chatty / quiet, at_least=0.7),
        Figure("chatty jobs that failed", sum(status != "SUCCESS" for status in statuses), at_most=0),
    ]
