"""Operations for tests that change the state of their process, or leave something running in it."""

import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import time

from jobproc_test_operations import Numbers, quick


@quick(name="change_globals", max_attempts=1)
def change_globals(numbers: Numbers) -> int:
    """Change what a process has once; return its pid."""
    os.chdir("/")
    os.umask(0o777)
    kept = {name: value for name, value in os.environ.items() if name == "JOBPROC_TEST_FOLDER"}
    os.environ.clear()
    os.environ.update(kept, TZ="Pacific/Chatham")
    time.tzset()
    for number in (signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    locale.setlocale(locale.LC_ALL, "C")
    socket.setdefaulttimeout(0.001)
    logging.disable(logging.CRITICAL)
    sys.setswitchinterval(1.0)
    sys.stdout = None
    sys.path.clear()
    random.seed(0)
    gc.disable()
    os.nice(1)
    return os.getpid()


@quick(name="leave_thread", max_attempts=1)
def leave_thread(numbers: Numbers) -> int:
    """Leave a thread that never ends and is no daemon; return the pid."""
    threading.Thread(target=threading.Event().wait, name="left", daemon=False).start()
    return os.getpid()
