"""The low-water marks that a process publishes to its parent, in shared memory: written and read without a lock."""

import json
from collections.abc import Mapping

MarksByQueue = Mapping[str, Mapping[str, str]]  # by queue and priority: claimable_at
LineMarksByQueue = Mapping[str, Mapping[str, Mapping[str, str]]]  # by queue, priority and tenant
_LENGTH, _VERSION, _WORDS = range(3)  # of the JSON; odd while that is being written (a seqlock); words of the header
_WORD = 8
# Marks of about 600 queues with ten priorities each, or of 5,000 lines; untouched pages cost nothing.
SIZE_BYTES = 262_144


class PublishedMarks:
    """The marks of one slot: the lowest of each queue, and those of single lines while the process claims by line."""

    def __init__(self, memory: memoryview) -> None:
        """`memory`: SIZE_BYTES bytes that begin at a word."""
        self._head = memory[: _WORDS * _WORD].cast("q")
        self._text = memory[_WORDS * _WORD :]
        self._last: tuple[MarksByQueue, LineMarksByQueue] = {}, {}

    def write(self, marks: MarksByQueue, line_marks: LineMarksByQueue) -> None:
        """Replace the marks. Too many to fit are dropped, first those of lines, which only delays finding strays."""
        text = json.dumps((marks, line_marks)).encode()
        if len(text) > len(self._text):
            text = json.dumps((marks, {})).encode()
        if len(text) <= len(self._text):
            self._head[_VERSION] += 1
            self._text[: len(text)] = text
            self._head[_LENGTH] = len(text)
            self._head[_VERSION] += 1

    def read(self) -> tuple[MarksByQueue, LineMarksByQueue]:
        """Return the marks last published; the previous ones while new ones are being written."""
        version = self._head[_VERSION]
        text = bytes(self._text[: self._head[_LENGTH]])
        if version % 2 == 0 and self._head[_VERSION] == version:
            self._last = json.loads(text or b"[{}, {}]")
        return self._last

    def clear(self) -> None:
        """Forget all marks."""
        self._head[_LENGTH] = self._head[_VERSION] = 0
        self._last = {}, {}
