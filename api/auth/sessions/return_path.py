"""The path of the console to which a browser comes back from its sign-in."""

import re

CONSOLE = "/console"
_SIGN_IN = "/console/session"
MAX_CHARACTERS = 2_000
# Within a segment: pchar of RFC 3986. So there is no second slash in a row, no backslash and no control character.
_PCHAR = r"[A-Za-z0-9._~!$&'()*+,;=:@%-]"
_PATH = re.compile(rf"{CONSOLE}(/{_PCHAR}+)*/?(\?({_PCHAR}|[/?])*)?(#({_PCHAR}|[/?])*)?")
_DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)  # browsers read %2e as a dot


def checked_return_path(text: str, root: str) -> str:
    """Return a path of the console without the prefix `root`. Raises ValueError for another text, such as a URL."""
    path = text.removeprefix(root) if root else text
    only_path = re.split(r"[?#]", path, maxsplit=1)[0]
    if len(path) > MAX_CHARACTERS or not _PATH.fullmatch(path) or _DOTS.search(only_path):
        raise ValueError(f"must be a path that begins with {CONSOLE}")
    if only_path == _SIGN_IN or only_path.startswith(f"{_SIGN_IN}/"):
        raise ValueError("must not be a path of the sign-in")
    return path
