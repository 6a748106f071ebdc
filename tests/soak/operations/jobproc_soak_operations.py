"""Operations that end their process, in a separate queue: the processes of the other queue never end."""

import os
import signal
import time

from jobproc_test_operations import Numbers, quick

from jobproc import Context

QUEUE = "crashing"


@quick(name="fall_once", queue=QUEUE, max_attempts=20)
def fall_once(numbers: Numbers, job: Context) -> float:
    """Kill the process in the first attempt, return data[-1] in later ones."""
    if job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers.data[-1]


@quick(name="overstay_once", queue=QUEUE, max_attempts=20, timeout_seconds=0.3)
def overstay_once(numbers: Numbers, job: Context) -> float:
    """Exceed the timeout in the first attempt, return data[-1] in later ones."""
    if job.attempt == 1:
        time.sleep(60)
    return numbers.data[-1]
