"""The file of the first API key: written once, for its owner alone, then kept."""

from pathlib import Path

import pytest

from common.domain.errors import StartupError
from common.domain.tenancy.api_keys import ApiKeyToken
from common.first_key_file import kept_key


def test_a_new_key_is_written_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    first = kept_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == f"{first.text}\n"
    assert kept_key(file) == first
    assert kept_key(tmp_path / "other") != first


def test_a_key_that_the_user_has_written_is_used(tmp_path: Path) -> None:
    token = ApiKeyToken.generate()
    (tmp_path / "api-key").write_text(token.text)
    assert kept_key(tmp_path / "api-key") == token


@pytest.mark.parametrize("text", ["", "jp_short", "\N{NO-BREAK SPACE}" * 60])
def test_a_file_without_a_key_is_refused_in_a_sentence_without_its_text(text: str, tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    file.write_text(text)
    with pytest.raises(StartupError) as raised:
        kept_key(file)
    assert str(raised.value) == f"{file} has no API key: delete the file, and a new key is written"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"the file of the first API key, .*/none/api-key, cannot be used: No such"):
        kept_key(tmp_path / "none" / "api-key")
