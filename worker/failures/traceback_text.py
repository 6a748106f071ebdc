"""The traceback of a failed attempt as text: the frames of the operation's package first, never with locals.

The standard library takes 56 µs for three frames, because it asks the file system each time if their files have
changed, and parses lines for markers; this takes 5. It also bounds the text, whatever was raised, and keeps no frame.
"""

import linecache
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import groupby
from operator import eq
from textwrap import indent
from types import TracebackType

MAX_EXCEPTIONS = 50  # in one traceback: the newest of a chain, the first of a group
MAX_GROUP_DEPTH = 10
MAX_NOTES = 20
MIN_FRAME_CHARACTERS = 20  # of the text of a frame, so that no more frames are kept than fit the limit
MAX_FRAME_CHARACTERS = 1_000  # of the text of a frame: its line may be a whole file, its function's name anything
MAX_CACHED_FRAMES = 4_096
HEADER = "Traceback (most recent call last):\n"
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
#: Packages whose frames are left out above the first frame of others: jobproc's, and what it calls for an operation.
_CALLERS = ("worker", "common", "jobproc", "pydantic", "asyncio", "json")
_CALLER_FOLDERS = tuple(
    folder + os.sep
    for package in _CALLERS
    if (spec := find_spec(package)) is not None
    for folder in spec.submodule_search_locations or ()
)
_frame_texts: dict[tuple[str, int, str], str] = {}  # by file, line and function: a frame that fails, fails often


def traceback_text(error: BaseException, max_characters: int, operation_file: str | None = None) -> str | None:
    """Return the traceback of an exception, cut in the middle; None if no frame is the operation's.

    `max_characters` 0: None is returned. `operation_file`: the file of the operation, whose frames are kept even if it
    is in a package of jobproc. Never raises an exception.
    """
    if not max_characters:
        return None
    try:
        formatter = _Formatter(max_characters, operation_file)
        text = formatter.text(error)
    except BaseException as failure:  # noqa: BLE001 - an exception of the user may be made to refuse each question
        return cut_in_the_middle(f"the traceback cannot be shown: {type(failure).__name__}", max_characters)
    return cut_in_the_middle(text.rstrip("\n"), max_characters) if formatter.has_frames else None


def cut_in_the_middle(text: str, max_characters: int) -> str:
    """Return a text of at most so many characters, which says how many are left out."""
    if len(text) <= max_characters:
        return text
    kept = max_characters - len(_left_out(len(text)))
    if kept <= 0:
        return text[-max_characters:]
    begin, end = kept // 2, kept - kept // 2
    return f"{text[:begin]}{_left_out(len(text) - kept)}{text[-end:]}"


def _left_out(characters: int) -> str:
    return f"\n  … {characters} characters are left out …\n"


class _Formatter:
    """Formats one exception with those that it is chained to or consists of."""

    def __init__(self, max_characters: int, operation_file: str | None) -> None:
        self._max_characters = max_characters
        self._max_frames = max_characters // MIN_FRAME_CHARACTERS + 1  # at each end
        self._operation_file = operation_file
        self._exceptions_left = MAX_EXCEPTIONS
        self._seen: set[int] = set()  # ids of exceptions: a chain may be a circle
        self.has_frames = False

    def text(self, error: BaseException, depth: int = 0) -> str:
        """Return the text of an exception, the oldest of its chain first."""
        parts, newer = list[str](), ""
        current: BaseException | None = error
        while current is not None and id(current) not in self._seen and self._exceptions_left:
            self._seen.add(id(current))
            self._exceptions_left -= 1
            parts.append(self._one(current, depth) + newer)
            if current.__cause__ is not None:
                current, newer = current.__cause__, CAUSE
            else:
                current, newer = None if current.__suppress_context__ else current.__context__, CONTEXT
        if current is not None and not self._exceptions_left:
            parts.append("… earlier exceptions are left out …\n\n")
        return "".join(reversed(parts))

    def _one(self, error: BaseException, depth: int) -> str:
        frames = self._frames(error.__traceback__)
        text = (HEADER + cut_in_the_middle(frames, self._max_characters) if frames else "") + self._last_lines(error)
        return text + "".join(self._members(error, depth)) if isinstance(error, BaseExceptionGroup) else text

    def _frames(self, entry: TracebackType | None) -> str:
        """Return the text of the frames: at most `_max_frames` from each end, repeated ones once."""
        while entry is not None and self._is_of_callers(entry.tb_frame.f_code.co_filename):
            entry = entry.tb_next
        texts = list[str]()
        while entry is not None:
            texts.append(_frame_text(entry))
            entry = entry.tb_next
        if any(map(eq, texts, texts[1:])):
            texts = [text for frame, repeats in groupby(texts) for text in _repeated(frame, len(list(repeats)))]
        if (left_out := len(texts) - 2 * self._max_frames) > 0:
            texts[self._max_frames : -self._max_frames] = [f"  … {left_out} frames are left out …\n"]
        self.has_frames = self.has_frames or bool(texts)
        return "".join(texts)

    def _is_of_callers(self, file: str) -> bool:
        return file.startswith(_CALLER_FOLDERS) and file != self._operation_file

    def _last_lines(self, error: BaseException) -> str:
        name = _type_name(type(error))
        try:
            message = str(error)
        except BaseException:  # noqa: BLE001 - an exception whose __str__ raises
            message = "(its text cannot be shown)"
        lines = [f"{name}: {message}" if message else name]
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, list):
            lines += [note for note in notes[:MAX_NOTES] if isinstance(note, str)]
        return "".join(f"{cut_in_the_middle(line, self._max_characters)}\n" for line in lines)

    def _members(self, group: "BaseExceptionGroup[BaseException]", depth: int) -> Iterator[str]:
        """Yield the exceptions of a group, each below a line with its number."""
        for number, member in enumerate(group.exceptions, 1):
            if not self._exceptions_left or depth == MAX_GROUP_DEPTH:
                yield f"  … {len(group.exceptions) - number + 1} of its exceptions are left out …\n"
                return
            yield f"  {number} of {len(group.exceptions)}:\n"
            yield indent(cut_in_the_middle(self.text(member, depth + 1), self._max_characters), "  | ")


def _repeated(frame: str, times: int) -> Sequence[str]:
    return (frame,) if times == 1 else (frame, f"  … {times - 1} times more …\n")


def _frame_text(entry: TracebackType) -> str:
    frame = entry.tb_frame
    code = frame.f_code
    key = code.co_filename, entry.tb_lineno, code.co_name
    text = _frame_texts.get(key)
    if text is None:
        if len(_frame_texts) >= MAX_CACHED_FRAMES:
            _frame_texts.clear()
        line = linecache.getline(code.co_filename, entry.tb_lineno, frame.f_globals).strip()
        text = f'  File "{code.co_filename}", line {entry.tb_lineno}, in {code.co_name}\n'
        text = f"{text}    {line}\n" if line else text
        if len(text) > MAX_FRAME_CHARACTERS:
            text = text[:MAX_FRAME_CHARACTERS] + "…\n"
        _frame_texts[key] = text
    return text


def _type_name(type_: type[BaseException]) -> str:
    module, name = type_.__module__, type_.__qualname__
    return name if module in {"builtins", "__main__"} else f"{module}.{name}"
