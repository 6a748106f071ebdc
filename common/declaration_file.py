"""Files with declarations, of YAML or JSON, which the migration reads."""

from pathlib import Path
from typing import Any, TypeVar

import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from pydantic import BaseModel, ValidationError

from common.domain.errors import StartupError

Content = TypeVar("Content", bound=BaseModel)
MAX_BYTES = 16 * 1024 * 1024
MAX_REPORTED = 5  # errors in the sentence about a file


def read(path: str, model: type[Content]) -> Content:
    """Return the content of a file. Raises StartupError, whose sentence names the file and what is wrong in it."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise StartupError(f"{path} has more than {MAX_BYTES} bytes")
        return model.model_validate(yaml.safe_load(data))
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise StartupError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise StartupError(f"{path}: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    details: list[Any] = list(error.errors(include_url=False, include_context=False, include_input=False))
    shown = [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details[:MAX_REPORTED]]
    more = f" (and {len(details) - MAX_REPORTED} more)" if len(details) > MAX_REPORTED else ""
    return "; ".join(shown) + more
