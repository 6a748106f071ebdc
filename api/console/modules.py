"""Joins the modules of the console to few files for browsers.

The modules run as they are too. Joined and without comments they have half the bytes, and a page needs a few requests
instead of thirty. A module becomes a function that returns what it exports, so no name can clash.
"""

import posixpath
import re
from collections.abc import Mapping

#: `import { a, b as c } from "./x.js"`, `import * as a from …`, `import a from …`, each in one statement.
_IMPORT = re.compile(r'(?:^|(?<=;))import ?(?P<what>[^"]*?) ?from ?"(?P<module>\.[^"]+)";\n?', re.MULTILINE)
_DECLARED = re.compile(r"(?:^|(?<=[;}]))export (?=(?:async )?(?:function|const|class) (?P<name>\w+))", re.MULTILINE)
_DECLARED_NAME = re.compile(r"(?:^|(?<=[;}]))export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)
_LISTED = re.compile(r"(?:^|(?<=[;}]))export ?\{(?P<names>[^}]*)\};?", re.MULTILINE)
_DEFAULT = re.compile(r"(?:^|(?<=[;}]))export default ", re.MULTILINE)
_DYNAMIC = re.compile(r'import\("(?P<module>\.[^"]+)"\)')


def imports(source: str) -> list[str]:
    """Return the modules that a module loads before it runs, as it names them."""
    return [found["module"] for found in _IMPORT.finditer(source)]


def resolved(name: str, module: str) -> str:
    """Return the name of a module by its name relative to another one."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), module))


def closure(entries: list[str], files: Mapping[str, str]) -> list[str]:
    """Return the modules that some modules load, themselves included, each after those that it loads itself."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found or name in visiting:
            return
        visiting.add(name)
        for module in imports(files[name]):
            visit(resolved(name, module))
        found[name] = None

    visiting: set[str] = set()
    for entry in entries:
        visit(entry)
    return list(found)


def joined(file: str, names: list[str], files: Mapping[str, str], homes: Mapping[str, str]) -> str:
    """Return the text of a file that has some modules, each of which it exports as an object.

    `names`: in the order of `closure`; `homes`: the file of each module, by the name of the module.
    """
    taken: dict[str, dict[str, None]] = {}
    for name in names:
        for module in imports(files[name]):
            target = resolved(name, module)
            if homes[target] != file:
                taken.setdefault(homes[target], {})[identifier(target)] = None
    heads = [f'import{{{",".join(objects)}}}from"{_relative(file, other)}";\n' for other, objects in taken.items()]
    parts = [
        f"const {identifier(name)}=(()=>{{\n{_as_function(name, files[name], file, homes)}\n}})();\n" for name in names
    ]
    return "".join([*heads, *parts, f"export{{{','.join(map(identifier, names))}}};\n"])


def identifier(name: str) -> str:
    """Return the name of a module as an identifier."""
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))


def _relative(file: str, other: str) -> str:
    """Return the name of a file relative to another one."""
    path = posixpath.relpath(other, posixpath.dirname(file) or ".")
    return path if path.startswith(".") else f"./{path}"


def _as_function(name: str, source: str, file: str, homes: Mapping[str, str]) -> str:
    """Return the body of a function that runs a module and returns its exports. `file`: the file that it is in."""
    exports: dict[str, str] = {found: found for found in _DECLARED_NAME.findall(source)}
    for found in _LISTED.finditer(source):
        for item in filter(None, (part.strip() for part in found["names"].split(","))):
            local, _, public = item.partition(" as ")
            exports[public or local] = local
    if _DEFAULT.search(source):
        exports["default"] = "$default"
    body = _DEFAULT.sub("const $default=", _LISTED.sub("", _DECLARED.sub("", source)))
    body = _IMPORT.sub(lambda found: _binding(found["what"], identifier(resolved(name, found["module"]))), body)
    body = _DYNAMIC.sub(lambda found: _loading(resolved(name, found["module"]), file, homes), body)
    members = ",".join(public if public == local else f"{public}:{local}" for public, local in exports.items())
    return f"{body.rstrip()}\nreturn{{{members}}}"


def _loading(module: str, file: str, homes: Mapping[str, str]) -> str:
    """Return the expression that loads a module while the page runs."""
    return f'import("{_relative(file, homes[module])}").then(file=>file.{identifier(module)})'


def _binding(what: str, module: str) -> str:
    """Return the statement that binds what an import names to the members of an object."""
    if what.startswith("*"):
        return f"const {what.rpartition(' ')[2]}={module};\n"
    if what.startswith("{"):
        return f"const{what.replace(' as ', ':')}={module};\n"
    return f"const {{default:{what}}}={module};\n"
