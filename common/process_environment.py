"""The environment with which a process was started, and the removal of variables from every place that shows it."""

import ctypes
import os
from collections.abc import Collection


def remove(names: Collection[str]) -> None:
    """Remove variables, in any case of their letters, from `os.environ` and from the memory of the process's start.

    That memory is /proc/<pid>/environ of this process and of its forks, whatever becomes of `os.environ`.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
    for name in [name for name in os.environ if name.upper() in names]:
        if address := getenv(os.fsencode(name)):
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
        del os.environ[name]
