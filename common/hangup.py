"""SIGHUP: the end of a process in order, as by SIGTERM."""

import signal


def end_on_hangup() -> None:
    """Handle SIGHUP from now on as SIGTERM, unless this process was started to ignore it, as by nohup(1)."""
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _signal, _frame: signal.raise_signal(signal.SIGTERM))
