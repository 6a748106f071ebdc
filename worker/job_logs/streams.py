"""Standard output and error of a worker process: lines that an operation prints get its job's id."""

import io
import sys

from worker.job_logs import attempt_log


class OperationStream(io.TextIOWrapper):
    """Hands the text that an operation prints to the log of its attempt; all other text is written as it is.

    Everything else is that of the stream in whose place it is: `buffer`, `fileno`, `isatty`, the encoding.
    """

    def __init__(self, stream: io.TextIOWrapper, name: str) -> None:
        """`stream` stays open: both write to its buffer, so neither keeps text back."""
        super().__init__(
            stream.buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=True
        )
        self.mode = "w"  # type: ignore[misc]  # of files, where it cannot be set
        self._name = name
        self._replaced = stream  # whose end would close the buffer

    def write(self, text: str, /) -> int:
        """Write a text; return its number of characters."""
        log = attempt_log.current()
        if log is None or attempt_log.passed_on.get() or not isinstance(text, str):
            return super().write(text)
        log.print(self._name, text)
        return len(text)

    def close(self) -> None:
        """Close nothing: the stream in whose place this one is, and the worker, write to the same file."""
        self.flush()


def capture_prints() -> None:
    """Put an OperationStream in place of standard output and error, unless something else is there already."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.flush()
            setattr(sys, name, OperationStream(stream, name))
