"""Removes comments and needless spaces from modules and style sheets. Strings, templates and expressions stay."""

import re
from collections.abc import Iterator

_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STYLE_SPACE = re.compile(r"\s*([{};,>])\s*")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_SPACE = re.compile(r"\s+")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
#: A regular expression, where a value may begin: elsewhere `/` divides.
_EXPRESSION = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_WORD = re.compile(r"[\w$]+")
_TEMPLATE_TEXT = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)
_TEMPLATE_INDENT = re.compile(r"\n\s*")
#: Words before which and after which an expression begins, so `/` does not divide.
_BEFORE_VALUE = frozenset({"return", "typeof", "case", "in", "of", "await", "yield"})
_AFTER_VALUE = re.compile(r"[\w$)\]}`\"']")


def plain_style(source: str) -> str:
    """Return a style sheet without comments and needless spaces."""
    return _STYLE_SPACE.sub(r"\1", _STYLE_COMMENT.sub("", source)).replace(": ", ":").replace(";}", "}").strip()


def plain_module(source: str) -> str:
    """Return a module without comments and needless spaces. Each statement ends with `;` or its block."""
    parts: list[str] = []
    for piece in _pieces(source):
        if not piece.isspace():
            parts.append(piece)
            continue
        if "\n" not in piece:
            parts.append(" ")
            continue
        while parts and parts[-1] == " ":
            parts.pop()
        if parts and parts[-1][-1] not in "\n{([,;":
            parts.append("\n")
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Return the pieces as a text, with spaces where two words or signs would become one."""
    kept: list[str] = []
    for at, piece in enumerate(parts):
        if piece == " ":
            before = kept[-1][-1] if kept else "\n"
            after = parts[at + 1][0] if at + 1 < len(parts) else "\n"
            if not (_is_word(before) and _is_word(after)) and not (before in "+-" and after == before):
                continue
        kept.append(piece)
    return "".join(kept)


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_$"


def _pieces(source: str, at: int = 0) -> Iterator[str]:
    """Yield the pieces of a module: spaces and comments as spaces, strings and templates whole."""
    last = ""  # the last piece that is no space
    while at < len(source):
        piece, at = _next(source, at, last)
        if not piece.isspace():
            last = piece
        yield piece


def _next(source: str, at: int, last: str) -> tuple[str, int]:
    """Return the piece at a place, and the place after it."""
    if found := _COMMENT.match(source, at):
        return ("\n" if found[0].startswith("//") else " "), found.end()
    if source[at] == "`":
        return _template(source, at)
    is_value = last == "" or last in _BEFORE_VALUE or not _AFTER_VALUE.match(last[-1])
    patterns = (_SPACE, _STRING, _WORD, _EXPRESSION) if is_value else (_SPACE, _STRING, _WORD)
    for pattern in patterns:
        if found := pattern.match(source, at):
            return found[0], found.end()
    return source[at], at + 1


def _template(source: str, at: int) -> tuple[str, int]:
    """Return the template that begins at a place, and the place after it. Indents in it are one space."""
    parts = ["`"]
    at += 1
    while True:
        end = _TEMPLATE_TEXT.match(source, at).end()  # type: ignore[union-attr]  # it matches nothing too
        parts.append(_TEMPLATE_INDENT.sub("\n", source[at:end]))
        at = end
        if source[at] == "`":
            return "".join(parts) + "`", at + 1
        inner: list[str] = []
        depth, at, last = 0, at + 2, ""
        while not (depth == 0 and source[at] == "}"):
            piece, at = _next(source, at, last)
            depth += (piece == "{") - (piece == "}")
            last = last if piece.isspace() else piece
            inner.append(" " if piece.isspace() else piece)
        parts.append("${" + _joined(inner) + "}")
        at += 1
