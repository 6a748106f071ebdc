"""Exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The outcome of a command."""

    DONE = 0
    FAILED = 1  #: otherwise
    USAGE = 2
    JOB_FAILED = 3
    JOB_CANCELLED = 4
    NOT_FOUND = 5
    REFUSED = 6  #: another response of the class 4xx
    NO_PERMISSION = 7
    UNAVAILABLE = 8  #: no response, or one of the class 5xx, after all tries
    TIMEOUT = 9  #: the time of a wait is up; the job goes on
    UNHEALTHY = 10  #: `doctor` found something
    INTERRUPTED = 130


#: By the state in which a job has ended.
OF_STATES = {
    "SUCCESS": ExitCode.DONE,
    "FAILED": ExitCode.JOB_FAILED,
    "CANCELLED": ExitCode.JOB_CANCELLED,
}
