"""Texts of requests that PostgreSQL stores or compares: it refuses the character U+0000, and nothing else in UTF-8.

Lone surrogates do not get this far: the JSON parser refuses them, and the query parser replaces them. Columns of type
json keep their text as it was sent, so an input may have U+0000, written as an escape. Tags and metadata are taken out
of the JSON of their group commit, where PostgreSQL decodes the escape.
"""

import re
from typing import Annotated

from pydantic import Field

_ESCAPE = "\\u0000"
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # after an even number of backslashes; else the text is of six characters

#: A field of a request.
StoredText = Annotated[str, Field(pattern=r"^[^\x00]+$")]


def has_nul(json_text: str) -> bool:
    """Return True if a JSON document has U+0000 in a key or in a text, at any depth."""
    return _ESCAPE in json_text and _NUL.search(json_text) is not None
