"""Operations that end their process, in a queue of their own: the processes that serve the other queue live for the whole run."""

import os
import signal
import time

from jobproc_test_operations import quick

from worker.operations import Context, Numbers

QUEUE = "mortal"


@quick("fall_once", queue=QUEUE, max_attempts=20)
def fall_once(numbers: Numbers, job: Context) -> float:
    """Kill the own process in the first attempt, later return data[-1]."""
    if job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers.data[-1]


@quick("overstay_once", queue=QUEUE, max_attempts=20, timeout_s=0.3)
def overstay_once(numbers: Numbers, job: Context) -> float:
    """Stay past the limit in the first attempt, later return data[-1]."""
    if job.attempt == 1:
        time.sleep(60)
    return numbers.data[-1]
