"""Filters on the inputs and metadata of jobs: a value at a path, compared as text. No index has them."""

import json
from collections.abc import Iterable, Iterator

# PostgreSQL decodes every text of a document on the way to a path. It refuses U+0000 and half of a surrogate pair,
# which columns of the type json may have: such a document matches nothing.
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# In dollar quotes a backslash is one, whatever standard_conforming_strings is.
_IS_DECODABLE = rf"""(strpos(d.document::text, $$\u$$) = 0 OR regexp_replace(
            replace(d.document::text, $$\\$$, ''), $${_PAIR}$$, '', 'g') !~ $$\\u(0000|[dD][89a-fA-F])$$)"""


def matches(argument: str) -> str:
    """Return the condition that job w has all values of an argument from `conditions`.

    The input of a job is that of its newest run that came with one.
    """
    return f"""NOT EXISTS (
        SELECT FROM json_to_recordset({argument}::json) AS c(document text, path text[], value text)
        CROSS JOIN LATERAL (
            SELECT CASE c.document WHEN 'metadata' THEN (SELECT j.metadata FROM jobs j WHERE j.id = w.id)
                   ELSE coalesce(
                       (SELECT r.input FROM runs r
                        WHERE r.id = w.id AND r.input IS NOT NULL ORDER BY r.run DESC LIMIT 1),
                       (SELECT j.input FROM jobs j WHERE j.id = w.id)) END AS document OFFSET 0) d
        WHERE CASE WHEN {_IS_DECODABLE} THEN d.document #>> c.path END IS DISTINCT FROM c.value)"""


def conditions(input_filters: Iterable[str], metadata_filters: Iterable[str]) -> str | None:
    """Return the argument of `matches` for filters such as `order.id=7`; None: there is none."""
    found = [*_conditions("input", input_filters), *_conditions("metadata", metadata_filters)]
    return json.dumps(found) if found else None


def _conditions(document: str, filters: Iterable[str]) -> Iterator[dict[str, object]]:
    for text in filters:
        path, _, value = text.partition("=")
        yield {"document": document, "path": path.split("."), "value": value}
