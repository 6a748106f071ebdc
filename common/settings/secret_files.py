"""Secrets in files, as Kubernetes and Docker mount them: DATABASE_URL_FILE names the file of DATABASE_URL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.settings.field_types import name_of

SUFFIX = "_FILE"
MAX_BYTES = 65_536


class SecretFileError(ValueError):
    """The file of a secret cannot be used. The text shows neither its content nor its name, which may be a secret."""


@dataclass(frozen=True)
class SecretFiles:
    """The files that a process was told to read secrets from, by the fields of the settings."""

    paths: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def named_in(cls, variables: Mapping[str, str | None], fields: Mapping[str, frozenset[str]]) -> "SecretFiles":
        """Find the files. Raises SecretFileError if a secret is given in two ways, or a variable is empty.

        `variables`: the environment, with names in lower case. `fields`: secret fields, each with its variables.
        """
        paths = {}
        for secret, names in fields.items():
            path = variables.get((name_of(secret) + SUFFIX).lower())
            if path is None:
                continue
            if given := [name for name in sorted(names) if variables.get(name.lower())]:
                raise SecretFileError(f"{name_of(secret)}{SUFFIX} and {given[0]} are both given; remove one of them")
            paths[secret] = path
        return cls(paths)

    def read(self, secret: str) -> str | None:
        """Return the content of the file of a secret, without a line break at its end; None if it has no file.

        Raises SecretFileError.
        """
        path = self.paths.get(secret)
        if path is None:
            return None
        variable = name_of(secret) + SUFFIX
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            text = content.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or error
            raise SecretFileError(f"{variable} names a file that cannot be read: {reason}") from None
        if len(content) > MAX_BYTES:
            raise SecretFileError(f"{variable} names a file of more than {MAX_BYTES} bytes")
        if not text.strip():
            raise SecretFileError(f"{variable} names an empty file")
        if "\0" in text:
            raise SecretFileError(f"{variable} names a file with a NUL character")
        return text
