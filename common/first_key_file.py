"""The file with the first API key of an installation, for the person who installs it: written once, then kept."""

import os
from contextlib import suppress
from pathlib import Path

from common.domain.errors import StartupError
from common.domain.tenancy.api_keys import ApiKeyToken

MODE = 0o600  # its owner alone may read it


def kept_key(file: Path) -> ApiKeyToken:
    """Return the key of a file; a new one is written if there is no such file.

    Raises StartupError if the file cannot be read or written, or has no key.
    """
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
            with os.fdopen(descriptor, "w") as text:
                text.write(f"{ApiKeyToken.generate().text}\n")
        token = ApiKeyToken.parse(file.read_text(errors="replace").strip())
    except OSError as error:
        raise StartupError(f"the file of the first API key, {file}, cannot be used: {error.strerror}") from error
    if token is None:
        raise StartupError(f"{file} has no API key: delete the file, and a new key is written")
    return token
