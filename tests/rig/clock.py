"""A wrong clock that can be set while a server runs (libfaketime, preloaded). Monotonic clocks stay correct."""

from pathlib import Path

LIBFAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def missing() -> str:
    """Return the reason why no clock can be set on this machine, empty if one can."""
    return "" if LIBFAKETIME else "libfaketime is not installed (apt-get install libfaketime)"


class Clock:
    """The clock of a server started with `env`, and of its children."""

    def __init__(self, folder: Path) -> None:
        """`folder` must be readable by the server's user."""
        assert LIBFAKETIME is not None, missing()
        self._file = folder / "clock"
        self.set(0)
        # Not cached: all processes of the server see a step at the same time.
        self.env = {
            "LD_PRELOAD": LIBFAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: float) -> None:
        """Step the clock to `seconds` ahead of the correct time, behind it if negative."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.chmod(0o644)
        new.replace(self._file)
