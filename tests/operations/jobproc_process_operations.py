"""Operations for tests that start programs and processes of their own."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path

from jobproc_test_operations import Numbers, quick
from pydantic import BaseModel

from jobproc import Context

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"]


class Start(BaseModel):
    """The way in which a process is started, and the seconds for which the attempt goes on."""

    way: str
    seconds: float = 0.0


def _sleep() -> None:
    time.sleep(120)


def _context(way: str) -> BaseContext:
    return multiprocessing.get_context(way.partition(" ")[2])


def _start(way: str) -> None:
    if way == "stubborn":
        subprocess.Popen(STUBBORN)
    elif way == "session":
        subprocess.Popen(SLEEP, start_new_session=True)
    elif way == "twice":  # a daemon, as programs become one
        if (pid := os.fork()) == 0:
            os.setsid()
            subprocess.Popen(SLEEP, start_new_session=True)
            os._exit(0)
        os.waitpid(pid, 0)
    elif way.startswith("multiprocessing"):
        _context(way).Process(target=_sleep).start()  # type: ignore[attr-defined]  # every context has it
    else:
        subprocess.Popen(SLEEP)


def _note(job: Context, text: str) -> None:
    with (Path(os.environ["JOBPROC_TEST_FOLDER"]) / f"note-{job.job_id}").open("a") as file:
        file.write(f"{text}\n")


@quick(name="leave_process", max_attempts=2, timeout_seconds=1.0)
def leave_process(start: Start, job: Context) -> float:
    """Start a process, go on for some seconds, and leave the process behind."""
    marker = f"jobproc-test-{job.job_id}"
    os.environ["JOBPROC_TEST_MARKER"] = marker  # of the programs that it starts
    _start(start.way)
    _note(job, "started")
    time.sleep(start.seconds)
    return start.seconds


@quick(name="leave_process_and_die", max_attempts=2)
def leave_process_and_die(start: Start, job: Context) -> None:
    """Start a process and kill the worker process."""
    os.environ["JOBPROC_TEST_MARKER"] = f"jobproc-test-{job.job_id}"
    _start(start.way)
    os.kill(os.getpid(), signal.SIGKILL)


@quick(name="end_process", max_attempts=1, timeout_seconds=30.0)
def end_process(start: Start) -> str:
    """Start a process and end it by SIGTERM. Return its exit code, and its ignored and blocked signals."""
    if start.way.startswith("multiprocessing"):
        process = _context(start.way).Process(target=_sleep)  # type: ignore[attr-defined]  # every context has it
        process.start()
        signals = _signals(process.pid)
        process.terminate()
        process.join(10)
        return f"{process.exitcode} {signals}"
    if start.way == "fork":
        if (pid := os.fork()) == 0:
            _sleep()
        signals = _signals(pid)
        os.kill(pid, signal.SIGTERM)
        return f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])} {signals}"
    if start.way == "asyncio":
        return asyncio.run(_end_async())
    program = subprocess.Popen(SLEEP)
    signals = _signals(program.pid)
    program.terminate()
    return f"{program.wait(10)} {signals}"


async def _end_async() -> str:
    program = await asyncio.create_subprocess_exec(*SLEEP)
    signals = _signals(program.pid)
    program.terminate()
    return f"{await asyncio.wait_for(program.wait(), 10)} {signals}"


def _signals(pid: int | None) -> str:
    """Return `default` if neither SIGTERM nor SIGINT is blocked or ignored in a process that has started."""
    until_s = time.monotonic() + 5  # a child of the fork server ignores SIGINT in its first moments
    while (found := _blocked_and_ignored(pid)) != "default" and time.monotonic() < until_s:
        time.sleep(0.02)
    return found


def _blocked_and_ignored(pid: int | None) -> str:
    mask = 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sets = {
        name: int(value, 16) & mask for name, _, value in (line.partition(":\t") for line in lines) if name in _SETS
    }
    return "default" if not any(sets.values()) else str(sets)


_SETS = ("SigBlk", "SigIgn")


@quick(name="compute_in_processes", max_attempts=1, timeout_seconds=30.0)
def compute_in_processes(numbers: Numbers) -> list[list[float]]:
    """Square the numbers in a Pool, a ProcessPoolExecutor, and each again with processes that are spawned."""
    found = []
    for way in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(way)
        with context.Pool(2) as pool:
            found.append(pool.map(_square, numbers.data))
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            found.append(list(executor.map(_square, numbers.data)))
    return found


def _square(number: float) -> float:
    return number * number


@quick(name="read_environment")
def read_environment(numbers: Numbers) -> dict[str, str]:
    """Return every environment and command line that this process can read: its own, its parent's, a child's."""
    del numbers
    found = {"os.environ": repr(dict(os.environ)), "own variable": os.environ.get("OWN_VARIABLE", "")}
    found["child"] = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    for pid in ("self", str(os.getppid())):
        for file in ("environ", "cmdline"):
            try:
                found[f"{pid} {file}"] = Path("/proc", pid, file).read_bytes().decode(errors="replace")
            except OSError as error:
                found[f"{pid} {file}"] = f"not readable: {error.strerror}"
    return found
