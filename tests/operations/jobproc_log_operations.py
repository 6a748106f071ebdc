"""Operations that log and print, as a third party's package would. It sets up `logging` and structlog for itself."""

import asyncio
import logging
import logging.config
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog
from jobproc_test_operations import Numbers, _die, _folder

from jobproc import Context, operation

logging.basicConfig(format="own %(message)s", force=True)
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"handlers": []}})
structlog.configure(processors=[*structlog.get_config()["processors"]])
log = logging.getLogger("acme.reports")
events = structlog.get_logger()
pool = ThreadPoolExecutor(1)


class Rude:
    """An object whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@operation(name="say")
def say(numbers: Numbers) -> int:
    """Log and print in every way, once each."""
    log.debug("too low")
    log.info("%d rows", numbers.data[0])
    events.info("sent", to="ann")
    print("printed", 1)
    print("in parts, ", end="")
    print("one line")
    print("10 %\r20 %\r100 %", file=sys.stderr)
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("it failed")
    log.info("%d", "no number")
    log.info("%s", Rude())
    log.warning("NUL \x00 and \ud800")
    sys.stdout.buffer.write(b"binary\n")
    sys.stdout.flush()
    subprocess.run(["echo", "of a program"], stdout=sys.stdout, check=True)
    assert (sys.stdout.fileno(), sys.stdout.isatty(), sys.stderr.fileno()) == (1, False, 2)
    return int(numbers.data[0])


@operation(name="say_in_threads")
def say_in_threads(numbers: Numbers) -> None:
    """Log in a thread, in a pool that outlives the attempt, and in a fork."""
    for target in (lambda: print("thread"), lambda: log.info("in a thread of its own")):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    pool.submit(log.info, "in a pool, for %d", numbers.data[0]).result()
    if not os.fork():
        log.info("in a fork")
        os._exit(0)
    os.wait()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


@operation(name="leave_talker")
def leave_talker(numbers: Numbers) -> None:
    """Leave a thread that logs after the end of the attempt, for data[0] seconds."""

    def talk() -> None:
        until = time.monotonic() + numbers.data[0]
        while time.monotonic() < until:
            log.info("left behind")
            time.sleep(0.01)

    threading.Thread(target=talk, daemon=True).start()


@operation(name="await_say")
async def await_say(numbers: Numbers) -> None:
    """Log as one of many, in a task and in a thread."""
    log.info("begin %d", numbers.data[0])
    await asyncio.sleep(0.05)
    await asyncio.gather(asyncio.create_task(_say_soon(numbers.data[0])))
    await asyncio.to_thread(log.info, "thread %d", numbers.data[0])
    await asyncio.get_running_loop().run_in_executor(None, log.info, "executor %d", numbers.data[0])


async def _say_soon(number: float) -> None:
    await asyncio.sleep(0.01)
    print("task", int(number))


@operation(name="say_and_die", max_attempts=2, base_seconds=0.01)
def say_and_die(numbers: Numbers, job: Context) -> int:
    """Log, then kill this process at the first attempt; in C code that holds the GIL if data[0] is not 0."""
    log.info("attempt %d", job.attempt)
    if job.attempt == 1:
        if numbers.data[0]:
            os.kill(os.getpid(), 11)
        _die()
    return job.attempt


@operation(name="say_often", max_attempts=1)
def say_often(numbers: Numbers) -> int:
    """Log data[0] lines, as many in a second as data[1] says, 0: without a pause."""
    began = time.monotonic()
    for number in range(int(numbers.data[0])):
        log.info("line %d of %d", number, numbers.data[0])
        if numbers.data[1]:
            time.sleep(max(0.0, began + (number + 1) / numbers.data[1] - time.monotonic()))
    return int(numbers.data[0])


@operation(name="say_then_wait", max_attempts=1)
def say_then_wait(numbers: Numbers) -> None:
    """Log a line, wait until the file `go` exists, log another one."""
    log.info("before")
    until = time.monotonic() + 30
    while not (_folder() / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    log.info("after")
