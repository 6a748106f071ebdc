"""The capture of lines in a process: whose they are, what is dropped, and that nothing else changes."""

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from common.domain.job import ClaimedJob
from common.settings import Settings
from common.telemetry import logs
from worker.job_logs import attempt_log, capture
from worker.job_logs.attempt_log import AttemptLog, OperationLogs
from worker.job_logs.line_ring import LineRing
from worker.job_logs.streams import OperationStream
from worker.shared_memory.metrics import Layout, WorkerMetrics

ID = "01900000-0000-7000-8000-000000000001"
JOB = ClaimedJob(ID, 1, 0, 3, "acme.send", "{}", None)
log = logging.getLogger("acme")


class Worker:
    """A process that captures lines, and what it has logged and handed to its parent."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self._file = file
        self.ring = LineRing(settings.job_log_buffer_bytes)
        self.metrics = WorkerMetrics(Layout((), ()), 1)
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.logs = OperationLogs(settings, self.ring, self.metrics.by_slot[0], number)

    def begin(self) -> AttemptLog:
        return self.logs.begin(JOB, "mail")

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(entry["logger"], entry["message"]) for entry in map(json.loads, self._file.read_text().splitlines())]

    @property
    def stored(self) -> list[str]:
        return [json.loads(entry.text)["message"] for entry in self.ring.read()[1]]

    def dropped(self, reason: str) -> float:
        (family,) = [family for family in self.metrics.collect() if family.name == "jobproc_job_log_lines_dropped"]
        return float(next(sample.value for sample in family.samples if sample.labels["reason"] == reason))


@pytest.fixture
def make_worker(bare: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Return a function that captures lines as a worker process with these settings does, until the test ends."""
    root, loggers = logging.getLogger(), ("celery", "celery.task", "kombu", "redis")
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in loggers]
    for owner, name in ((logging.Logger, "callHandlers"), (threading.Thread, "start"), (ThreadPoolExecutor, "submit")):
        bare.setattr(owner, name, getattr(owner, name))
    bare.setattr(logs, "_configuration", None)
    bare.setattr(sys, "stdout", sys.stdout)
    bare.setattr(sys, "stderr", sys.stderr)

    def make(**variables: str) -> Worker:
        for name, value in variables.items():
            bare.setenv(name, value)
        settings = Settings()
        logs.configure(settings, "worker")
        capture.admit_records(settings)
        capture.install(settings)
        return Worker(settings, tmp_path / "worker.log")

    yield make
    attempt_log._current.set(None)
    root.handlers[:], root.level = before[:2]
    for name, level in zip(loggers, before[2], strict=True):
        logging.getLogger(name).setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_a_package_that_sets_up_logging_anew_neither_loses_nor_doubles_a_line(
    make_worker: Callable[..., Worker],
) -> None:
    worker, own = make_worker(), io.StringIO()
    logging.basicConfig(stream=own, format="own %(message)s", force=True)
    attempt = worker.begin()
    log.info("for both")
    attempt.end()
    log.info("outside")
    assert worker.lines == [("acme", "for both")]
    assert own.getvalue() == "own for both\nown outside\n"


def test_outside_of_operations_libraries_log_warnings_only(
    make_worker: Callable[..., Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    worker = make_worker()
    log.info("no")
    logging.getLogger("celery.worker").info("no")
    structlog.get_logger().debug("no")
    log.warning("yes")
    structlog.get_logger().info("structlog yes")
    assert worker.lines == []
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("message")) for line in lines] == [("library_log", "yes"), ("structlog yes", None)]


def test_lines_below_the_level_of_operations_are_dropped(make_worker: Callable[..., Worker]) -> None:
    worker = make_worker(JOBPROC_OPERATION_LOG_LEVEL="warning", JOBPROC_LOG_LEVEL="error")
    attempt = worker.begin()
    log.info("no")
    log.warning("yes")
    structlog.get_logger().info("no")
    structlog.get_logger().warning("structlog", number=1)
    attempt.end()
    assert worker.lines == [("acme", "yes"), ("structlog", "structlog number=1")]


def test_a_thread_or_pool_logs_as_the_attempt_that_started_it_until_that_ends(
    make_worker: Callable[..., Worker],
) -> None:
    worker, may_go_on = make_worker(), threading.Event()
    pool = ThreadPoolExecutor(1)
    attempt = worker.begin()

    def talk() -> None:
        log.info("during")
        may_go_on.wait(10)
        log.info("after")

    thread = threading.Thread(target=talk)
    thread.start()
    pool.submit(log.info, "in a pool").result()
    attempt.end()
    may_go_on.set()
    thread.join()
    pool.submit(log.info, "for nobody").result()
    second = worker.begin()
    pool.submit(log.info, "for the second").result()
    second.end()
    pool.shutdown()
    assert sorted(worker.lines) == [("acme", "during"), ("acme", "for the second"), ("acme", "in a pool")]


def test_a_line_that_logs_while_it_is_formatted_is_no_end_of_the_operation(make_worker: Callable[..., Worker]) -> None:
    worker = make_worker()

    class Nested:
        def __str__(self) -> str:
            log.info("inner")
            return "outer"

    attempt = worker.begin()
    log.info("%s", Nested())
    attempt.end()
    assert worker.lines == [("acme", "inner"), ("acme", "outer")]


def test_too_many_lines_are_dropped_and_counted_and_the_next_second_says_so(
    make_worker: Callable[..., Worker],
) -> None:
    worker, now = make_worker(JOBPROC_OPERATION_LOG_LINES_PER_SECOND="3"), [100.0]
    worker.logs.clock = lambda: now[0]
    attempt = worker.begin()
    for number in range(10):
        log.info("line %d", number)
    now[0] += 1
    log.info("later")
    attempt.end()
    report = "7 lines were dropped: there were more than 3 in a second"
    assert worker.stored == ["line 0", "line 1", "line 2", report, "later"]
    assert worker.lines[3] == ("jobproc", report)
    assert worker.dropped("rate") == 7


def test_lines_that_find_no_room_are_logged_and_their_number_is_stored_later(
    make_worker: Callable[..., Worker],
) -> None:
    worker = make_worker(JOBPROC_JOB_LOG_BUFFER_BYTES="65536")
    attempt = worker.begin()
    for _ in range(30):
        log.info("x" * 3_000)
    stored = len(worker.stored)
    assert stored < 30
    assert len(worker.lines) == 30
    worker.ring.free(worker.ring.read()[0])
    log.info("room again")
    attempt.end()
    assert worker.stored == [f"{30 - stored} lines were not stored", "room again"]
    assert worker.dropped("buffer") == 30 - stored


def test_a_long_line_loses_its_middle_and_no_character_is_one_that_cannot_be_stored(
    make_worker: Callable[..., Worker],
) -> None:
    worker = make_worker(JOBPROC_MAX_LOG_LINE_CHARACTERS="11")
    attempt = worker.begin()
    log.info("12345678901234567890")
    log.info("\x00\ud800")
    attempt.end()
    assert worker.stored == ["12345…67890", "�?"]


def test_printed_text_is_a_line_when_it_ends_and_what_is_no_text_is_refused_as_ever(
    make_worker: Callable[..., Worker],
) -> None:
    worker, raw = make_worker(JOBPROC_MAX_LOG_LINE_CHARACTERS="20"), io.BytesIO()
    stream = OperationStream(io.TextIOWrapper(raw, "utf-8", write_through=True), "stdout")
    print("before", file=stream)
    attempt = worker.begin()
    print("one\ntwo\n\nthr", end="", file=stream)
    print("ee", file=stream)
    print("\r10 %\r", end="", file=stream)
    print("100 %\r\n", end="", file=stream)
    print("x" * 30, end="", file=stream)
    print("no end", end="", file=stream)
    stream.writelines(["a", "b\n"])
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]  # that is what must fail
    stream.buffer.write(b"binary\n")
    print("end", end="", file=stream)
    attempt.end()
    print("after", file=stream)
    assert [text for _, text in worker.lines] == [
        "one", "two", "three", "100 %", f"{'x' * 9}…{'x' * 10}", "no endab", "end",
    ]  # fmt: skip
    assert raw.getvalue() == b"before\nbinary\nafter\n"


def test_a_forked_process_leaves_the_memory_of_its_parent_alone(make_worker: Callable[..., Worker]) -> None:
    worker = make_worker()
    attempt = worker.begin()
    if not (pid := os.fork()):
        log.info("in a fork")
        os._exit(0)
    os.waitpid(pid, 0)
    attempt.end()
    assert worker.lines == [("acme", "in a fork")]
    assert worker.stored == []


def test_a_log_that_nobody_reads_fails_no_operation(make_worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker = make_worker()
    worker.logs._stream_number = os.open(tmp_path / "worker.log", os.O_RDONLY | os.O_CREAT)
    attempt = worker.begin()
    log.info("stored all the same")
    attempt.end()
    assert worker.stored == ["stored all the same"]


def test_an_operation_may_configure_structlog_and_the_lines_of_jobproc_stay_as_they_are(
    make_worker: Callable[..., Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    worker = make_worker()
    structlog.configure(processors=[lambda _logger, _method, event: f"taken {event}"])
    logs.get("worker").info("worker_ready")
    assert json.loads(capsys.readouterr().err)["part"] == "jobproc.worker"
    assert worker.lines == []
    assert isinstance(sys.stdout, io.TextIOBase)
