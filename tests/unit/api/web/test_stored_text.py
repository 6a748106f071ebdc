"""Texts of requests that PostgreSQL can store: all without U+0000."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.web.stored_text import StoredText, has_nul

texts = st.text(st.sampled_from('\x00\\u0"a\n\U0001f980'), max_size=9)
documents = st.recursive(
    st.one_of(texts, st.none(), st.integers()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def holds_nul(value: Any) -> bool:
    """Return True if a text of a parsed document has U+0000."""
    if isinstance(value, dict):
        return any(holds_nul(part) for part in [*value.keys(), *value.values()])
    return any(map(holds_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\x00" in value


@given(documents, st.booleans())
def test_nul_is_found_in_any_key_or_text_of_a_document_and_nothing_else_is(document: Any, ensure_ascii: bool) -> None:
    assert has_nul(json.dumps(document, ensure_ascii=ensure_ascii)) is holds_nul(document)


@given(texts.filter(bool))
def test_a_field_takes_every_text_without_nul(text: str) -> None:
    adapter = TypeAdapter(StoredText)
    if "\x00" not in text:
        assert adapter.validate_python(text) == text
        return
    with pytest.raises(ValidationError):
        adapter.validate_python(text)
