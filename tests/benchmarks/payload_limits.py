"""Measurements at the limits of load and payload. Each function returns figures with bounds, and checks every job."""

import json
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import measure, systems
from tests.benchmarks.disturbances import Scene
from tests.benchmarks.setting import Figure, Stage, answer, batch, peaks_mib
from tests.benchmarks.throughput import DRAIN_LIMIT_S, fresh, load, measured
from tools.servers import free_port

ENDED = (
    "SELECT (SELECT count(*) FROM jobs), count(*) FILTER (WHERE status = 'SUCCESS'), "
    "extract(epoch FROM min(started_at) FILTER (WHERE attempt >= {0})), "
    "extract(epoch FROM max(finished_at) FILTER (WHERE attempt >= {0})) FROM outcomes"
)
FAILED_ONCE = "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)) FROM attempts"
DUE_AT = "UPDATE live SET claimable_at = to_timestamp(%s) WHERE attempt = 1 AND worker IS NULL"
DIGITS = 150  # of a number whose square fits a double
LIGHT = 8  # connections of the light load


def ended(there: Scene, at_least: int, attempt: int = 1) -> tuple[int, float, float]:
    """Wait until every job has ended.

    Return the number of jobs that did not, and the first start and the last end of attempts from `attempt` on.
    """
    sql = ENDED.format(attempt)
    database = measure.Database(there.url)
    try:
        measure.drained(database, sql, at_least, DRAIN_LIMIT_S)
    except RuntimeError as error:
        print(f"    {error}", flush=True)
    jobs, right, first, last = database.row(sql)
    database.close()
    return max(jobs, at_least) - right, float(first or 0), float(last or 0)


def processes(stage: Stage) -> list[Figure]:
    """Measure drain and acceptance by the number of worker processes; ratios to two processes."""
    options = stage.options
    runs = {count: _with_processes(stage, count) for count in map(int, options.processes.split(","))}
    two = runs.get(2) or next(iter(runs.values()))
    found = []
    for count, run in runs.items():
        drain, post = f"drain_{options.backlog}_s", "post_s"
        found += [
            Figure(f"{count}: jobs/s of a backlog", run[drain]),
            Figure(f"{count}: … to that of 2", run[drain] / two[drain], at_least=0.4),
            Figure(f"{count}: accepted POST/s", run[post]),
            Figure(f"{count}: … to that of 2", run[post] / two[post], at_least=0.5),
            Figure(
                f"{count}: transactions a job, draining",
                run[f"drain_{options.backlog}_transactions_a_job"],
                at_most=0.02,
            ),
            Figure(f"{count}: transactions a job, under load", run["transactions_a_job"], at_most=0.3),
        ]
    return found


def _with_processes(stage: Stage, count: int) -> dict[str, float]:
    with fresh(*stage.servers, stage.folder) as env:
        port = free_port()
        system = systems.jobproc(port, stage.folder, env, processes=count)
        return measured(system, port, stage.servers, env["DATABASE_URL"], stage.options, [stage.options.backlog])


def retries(stage: Stage) -> list[Figure]:
    """Make the retries of many failed jobs due at one instant: alone, and beside a light load."""
    found = []
    for name, rate in (("alone", 0.0), ("beside a load", stage.options.rate)):
        with stage.scene() as there:
            found += [
                Figure(f"{name}: {figure.name}", figure.value, figure.at_least, figure.at_most)
                for figure in _retried(stage, there, rate)
            ]
    return found


def _retried(stage: Stage, there: Scene, rate: float) -> list[Figure]:
    jobs, ahead_s, after_s = stage.options.retries, stage.options.ahead, stage.options.after
    database = measure.Database(there.url)
    submit(there, "back_off", [1.0], jobs, stage.settings.max_batch_jobs)
    measure.wait_until("the first attempts have failed", lambda: database.row(FAILED_ONCE)[0] == jobs, DRAIN_LIMIT_S)
    failing_s = float(database.row(FAILED_ONCE)[1])
    due = time.time() + ahead_s
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute(DUE_AT, (due,))
    if time.time() > due:
        raise RuntimeError(f"giving {jobs} jobs one due time took longer than the {ahead_s:g} s until then; --ahead")
    with ThreadPoolExecutor(1) as beside:
        loading = beside.submit(load, there.port, LIGHT, ahead_s + after_s, rate) if rate else None
        measure.wait_until("the last retries", lambda: database.row(there.system.progress)[1] >= jobs, DRAIN_LIMIT_S)
        loaded = loading.result() if loading else {"accepted": 0}
    database.close()
    unfinished, first, last = ended(there, jobs + loaded["accepted"], 2)
    figures = [
        Figure("first failures a second", jobs / failing_s),
        Figure("s from due to the first start", first - due, at_least=0.0, at_most=2 * stage.settings.tick_seconds),
        Figure("s from due to the last end", last - due, at_most=5 + jobs / 5_000),
        Figure("jobs that have not ended", unfinished, at_most=0),
    ]
    return figures + (_light(loaded, due, last) if rate else [])


def _light(loaded: dict[str, Any], due: float, last: float) -> list[Figure]:
    seconds, start, end = loaded["by_second"], int(due - loaded["began_at"]), int(last - loaded["began_at"]) + 1
    before = statistics.median(second["p99_ms"] for second in seconds[1:start])
    during = [second["p99_ms"] for second in seconds[start:end] if second["answered"]] or [float("inf")]
    return [
        Figure("p99 of POST in ms before", before),
        Figure("p99 of POST in ms until all have ended, median of seconds", statistics.median(during)),
        Figure("… of the worst second", max(during), at_most=1_000),
        Figure("requests refused or unanswered", loaded["refused"] + loaded["unanswered"], at_most=0),
    ]


def submit(there: Scene, operation: str, data: list[float], jobs: int, at_once: int) -> list[str]:
    """Submit equal jobs and return their ids."""
    ids: list[str] = []
    for start in range(0, jobs, at_once):
        report = answer(there.port, "/jobs/batch", batch(operation, data, min(at_once, jobs - start)))
        ids += report.raise_for_status().json()["job_ids"]
    return ids


@dataclass(frozen=True)
class Payload:
    """A request that clients send repeatedly."""

    name: str
    path: str
    body: bytes
    jobs: int = 1  #: in one request
    rate: float = 0.0  #: requests a second; 0: as fast as possible


def payloads(stage: Stage) -> list[Payload]:
    """Return the plain job, and one payload exactly at each limit of the settings."""
    settings, seconds = stage.settings, stage.options.seconds
    limit, result = settings.max_body_bytes, batch("big_result", [settings.max_result_bytes - 2], stage.options.results)
    return [
        Payload("plain", "/jobs/", batch("square_sum", [1, 2, 3], 1)[1:-1]),
        Payload("greatest body", "/jobs/", _filled(limit, 1, settings.max_numbers)[1:-1].ljust(limit)),
        Payload(
            "greatest batch",
            "/jobs/batch",
            _filled(limit, settings.max_batch_jobs, 3).ljust(limit),
            settings.max_batch_jobs,
        ),
        Payload(
            "greatest results",
            "/jobs/",
            batch("big_result", [settings.max_result_bytes - 2], 1)[1:-1],
            rate=stage.options.results / seconds,
        ),
        Payload("greatest results at once", "/jobs/batch", result, stage.options.results, rate=1 / seconds),
    ]


def _filled(limit: int, jobs: int, numbers: int) -> bytes:
    """Return a batch of so many jobs of so many numbers, which have as many digits as there is room for."""
    room = (limit - len(batch("square_sum", [], jobs))) // (jobs * numbers) - 1
    chance = random.Random("extremes")
    data = [chance.randrange(10 ** (digits - 1), 10**digits) for digits in [max(1, min(DIGITS, room))] * numbers]
    return batch("square_sum", data, jobs)


def payload_limits(stage: Stage) -> list[Figure]:
    """Send payloads that are exactly at a limit."""
    found = []
    for payload in payloads(stage):
        with stage.scene() as there:
            found += [
                Figure(f"{payload.name}: {figure.name}", figure.value, figure.at_least, figure.at_most)
                for figure in _at_limit(stage, there, payload)
            ]
    return found


def _at_limit(stage: Stage, there: Scene, payload: Payload) -> list[Figure]:
    file = stage.body(payload.name.replace(" ", "-"), payload.body)
    began = time.time()
    loaded = load(there.port, stage.options.clients, stage.options.seconds, payload.rate, (payload.path, file))
    unfinished, _, last = ended(there, loaded["accepted"] * payload.jobs)
    peaks = peaks_mib(there)
    return [
        Figure("POST/s", loaded["post_s"]),
        Figure("finished jobs/s", loaded["accepted"] * payload.jobs / max(last - began, 1e-3)),
        Figure("p99 of POST in ms", loaded["p99_ms"]),
        Figure("slowest answer in s", loaded["max_ms"] / 1e3, at_most=stage.settings.database_timeout_seconds + 5),
        Figure("503", loaded["unavailable"]),
        Figure(
            "requests refused otherwise, or unanswered",
            loaded["refused"] - loaded["unavailable"] + loaded["unanswered"],
            at_most=0,
        ),
        Figure("jobs that have not ended with a result", unfinished, at_most=0),
        Figure("most MiB of the API", peaks["API"], at_most=1_024),
        Figure("most MiB of a worker process", peaks["worker"], at_most=1_024),
    ]


def slow(stage: Stage) -> list[Figure]:
    """Measure a load of 16 clients beside many slow ones, of each kind; ratios to the load without them."""
    found = []
    for kind in stage.options.kinds.split(","):
        with stage.scene() as there:
            found += [
                Figure(f"{kind}: {figure.name}", figure.value, figure.at_least, figure.at_most)
                for figure in _beside_slow(stage, there, kind)
            ]
    return found


def _beside_slow(stage: Stage, there: Scene, kind: str) -> list[Figure]:
    options, path = stage.options, "/"
    if kind == "readers":
        path = f"/jobs/{submit(there, 'big_result', [stage.settings.max_result_bytes - 2], 1, 1)[0]}/result"
        ended(there, 1)

    def loaded() -> dict[str, Any]:
        return load(there.port, options.clients, options.beside)

    set_to = stage.settings
    of_kind = {
        "bodies": set_to.body_timeout_seconds
    }  # readers: the kernel buffers a whole answer of 1 MiB, and a keep-alive connection has 75 s
    without, limit_s = [loaded()], of_kind.get(kind, set_to.request_header_timeout_seconds)
    process = start_clients("slow", there.port, options.slow, options.beside + 3, kind, options.pace, path)
    assert process.stdout is not None
    process.stdout.readline()  # printed once all are connected
    beside = loaded()
    report = json.loads(process.communicate()[0])
    without.append(loaded())
    accepted = sum(load["accepted"] for load in [*without, beside])
    print(
        f"    {kind}: closed {report['ended']}, with {report['answers']}; "
        f"still open after {options.beside + 3:g} s: {report['still']}",
        flush=True,
    )

    def ratio(figure: str) -> float:
        return float(beside[figure] / statistics.mean(load[figure] for load in without))

    return [
        Figure("accepted POST/s to that without", ratio("post_s"), at_least=0.8),
        Figure("p99 of POST to that without", ratio("p99_ms"), at_most=2.5),
        Figure(
            "requests refused or unanswered",
            sum(load["refused"] + load["unanswered"] for load in [*without, beside]),
            at_most=0,
        ),
        Figure("jobs that have not ended", ended(there, accepted)[0], at_most=0),
        Figure("s until a slow connection is closed, median", report["median_s"]),
        Figure("… longest", report["longest_s"], at_most=None if kind == "readers" else limit_s + 3),
        Figure("slow clients that were never closed", report["still"]),
        Figure("most MiB of the API", peaks_mib(there)["API"], at_most=1_024),
    ]


def start_clients(*arguments: object) -> "subprocess.Popen[str]":
    """Start clients of tests/benchmarks/slow_clients.py."""
    argv = [sys.executable, "-m", "tests.benchmarks.slow_clients", *map(str, arguments)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=systems.ROOT)
