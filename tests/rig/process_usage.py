"""The memory and the CPU time of a process, from /proc."""

import os
from pathlib import Path


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process in MiB. `what`: a line of its status, such as VmHWM, the peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1_024


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process in seconds. Unlike elapsed time it does not depend on the machine's load."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
