"""The files of the Python client that are made from the OpenAPI document and the kinds of problems."""

import keyword
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from api.app import create_app
from api.web.problem_kinds import ProblemKind
from api.web.resource_problem_kinds import PROBLEM_KINDS
from common.settings import Settings

FOLDER = "clients/python/src/jobproc/client"
NOTE = "Made by `make generate`."
PACKAGE = "jobproc.client"
JSON = "application/json"
REF = "#/components/schemas/"
SHARED = "shared"
#: Modules of views that are not called as the tag of their paths; None: the client has no verbs for them.
MODULES = {
    "keys": "access",
    "tenants": "access",
    "audit": "access",
    "operations": "queues",
    "health": None,
    "console": None,
}
EXPLANATIONS = ("/jobs/{job_id}/explain", "/jobs/{job_id}/logs")
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
#: By status: the class of errors on which those of a problem build, and the module that has them.
GROUPS = {
    401: ("Unauthorized", "refusals"),
    403: ("Forbidden", "refusals"),
    404: ("Missing", "missing"),
    409: ("Conflict", "conflicts"),
    410: ("Missing", "missing"),
    412: ("Conflict", "conflicts"),
    429: ("Throttled", "unavailable"),
}
SERVER_ERRORS = 500


def formatted(text: str) -> str:
    """Return a module as the formatter writes it."""
    ruff = [str(Path(sys.executable).parent / "ruff"), "format", "--stdin-filename", f"{FOLDER}/made.py", "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


# --- problems


def group(kind: ProblemKind) -> tuple[str, str]:
    """Return the class on which the error of a kind of problem builds, and its module."""
    if kind.status >= SERVER_ERRORS:
        return "Unavailable", "unavailable"
    return GROUPS.get(kind.status, ("InvalidRequest", "refusals"))


def class_name(kind: ProblemKind) -> str:
    """Return the name of the class of a kind of problem: `job-not-found` is JobNotFound."""
    return "".join(word.capitalize() for word in kind.name.split("-"))


def problem_modules() -> dict[str, Callable[[], str]]:
    """Return the makers of the modules of problems."""
    modules = sorted({group(kind)[1] for kind in PROBLEM_KINDS})

    def module(name: str) -> str:
        kinds = [kind for kind in PROBLEM_KINDS if group(kind)[1] == name]
        bases = sorted({group(kind)[0] for kind in kinds})
        classes = (f'class {class_name(kind)}({group(kind)[0]}):\n    """{kind.title}."""\n\n\n' for kind in kinds)
        head = f'"""Errors by the types of problems. {NOTE}"""\n\nfrom {PACKAGE}.errors import {", ".join(bases)}\n\n\n'
        return formatted(head + "".join(classes))

    def index() -> str:
        names = {name: [class_name(kind) for kind in PROBLEM_KINDS if group(kind)[1] == name] for name in modules}
        imports = "".join(
            f"from {PACKAGE}.problems.{name} import {', '.join(sorted(names[name]))}\n" for name in modules
        )
        rows = "".join(f'"{kind.name}": {class_name(kind)},\n' for kind in PROBLEM_KINDS)
        return formatted(
            f'"""Errors by the types of problems: start at `BY_TYPE`. Imports only the errors.\n\n{NOTE}\n"""\n\n'
            f"from {PACKAGE}.errors import ApiError\n{imports}\n"
            f"__all__ = {sorted(['BY_TYPE', *map(class_name, PROBLEM_KINDS)])!r}\n"
            f"#: By the type of a problem, without its prefix: the class of its errors.\n"
            f"BY_TYPE: dict[str, type[ApiError]] = {{{rows}}}\n"
        )

    return {f"{FOLDER}/problems/__init__.py": index} | {
        f"{FOLDER}/problems/{name}.py": partial(module, name) for name in modules
    }


# --- views


def references(schema: Any) -> Iterator[str]:
    """Yield the names of the schemas that a schema names."""
    if isinstance(schema, dict):
        if str(schema.get("$ref", "")).startswith(REF):
            yield schema["$ref"].removeprefix(REF)
        for part in schema.values():
            yield from references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)


class Views:
    """The schemas of responses, by the module that has them: that of their tag, or `shared`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        tags: dict[str, set[str]] = {}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                module = self._module_of(path, operation)
                for schema in self._responses(operation):
                    for name in self._reachable(schema) if module else ():
                        tags.setdefault(name, set()).add(str(module))
        self._module = {name: SHARED if len(found) > 1 else next(iter(found)) for name, found in tags.items()}

    def modules(self) -> list[str]:
        """Return the names of the modules."""
        return sorted(set(self._module.values()))

    def text(self, module: str) -> str:
        """Return a module."""
        names = sorted(name for name, found in self._module.items() if found == module)
        classes = [self._class(name) for name in names if not self._is_alias(name)]
        aliases = [f"{name} = {self._type(self._schemas[name])}\n" for name in names if self._is_alias(name)]
        used = {ref for name in names for ref in references(self._schemas[name]) if self._module.get(ref) == SHARED}
        body = "".join(aliases) + "\n\n" + "\n\n".join(classes)
        words = [word for word in ("Any", "Literal") if word in body]
        own = [f"from {PACKAGE}.views.{SHARED} import {', '.join(sorted(used))}"] if module != SHARED and used else []
        own += [f"from {PACKAGE}.views.view import View"] if classes else []
        head = f'"""Views of responses: {module.replace("_", " ")}. {NOTE}"""\n\nfrom __future__ import annotations\n\n'
        head += f"from typing import {', '.join(words)}\n\n" if words else ""
        return formatted(head + "\n".join(own) + "\n\n" + body)

    @staticmethod
    def _module_of(path: str, operation: dict[str, Any]) -> str | None:
        tag: str = operation["tags"][0].replace(" ", "_")
        return "explanations" if path in EXPLANATIONS else MODULES.get(tag, tag)

    @staticmethod
    def _responses(operation: dict[str, Any]) -> Iterator[Any]:
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                yield response.get("content", {}).get(JSON, {}).get("schema", {})

    def _reachable(self, schema: Any) -> set[str]:
        found: set[str] = set()
        waiting = list(references(schema))
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += references(self._schemas[name])
        return found

    def _is_alias(self, name: str) -> bool:
        return bool(self._schemas[name].get("type") != "object")

    def _class(self, name: str) -> str:
        schema = self._schemas[name]
        text = (schema.get("description") or f"The object {name} of the API.").split("\n\n")[0].replace("\n", " ")
        rows = [
            f"    {member}: {self._type(part)}"
            for member, part in schema.get("properties", {}).items()
            if not keyword.iskeyword(member) and not hasattr(dict, member)  # those are items only
        ]
        return f'class {name}(View):\n    """{_shortened(text)}"""\n\n' + "\n".join(rows) + "\n"

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            return str(schema["$ref"]).removeprefix(REF)
        if "enum" in schema or "const" in schema:
            return f"Literal[{', '.join(map(repr, schema.get('enum') or [schema['const']]))}]"
        if parts := schema.get("anyOf") or schema.get("oneOf"):
            return " | ".join(dict.fromkeys(self._type(part) for part in parts))
        if schema.get("type") == "array":
            return f"list[{self._type(schema.get('items', {}))}]"
        if schema.get("type") == "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {self._type(values) if isinstance(values, dict) else 'Any'}]"
        return TYPES.get(schema.get("type", ""), "Any")


def _shortened(text: str) -> str:
    sentence = text.split(". ", maxsplit=1)[0].rstrip(".") + "."
    return sentence if len(sentence) < 110 else sentence[:100].rsplit(" ", 1)[0] + " …"  # noqa: PLR2004 - columns


def view_modules() -> dict[str, Callable[[], str]]:
    """Return the makers of the modules of views."""
    views = Views(create_app(Settings()).openapi())
    return {f"{FOLDER}/views/{name}.py": partial(views.text, name) for name in views.modules()}


FILES: dict[str, Callable[[], str]] = {**problem_modules(), **view_modules()}
