"""The HTML of the console's pages: one shell, which loads the modules of the page that its path names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

ENTRY = "main.js"
ROUTES = "routes.js"
STYLE = "console.css"
#: A page may load and run nothing but the files of the console. No script makes code or HTML of text: there is no
#: policy of Trusted Types, so the browser refuses that.
CONTENT_SECURITY_POLICY = "; ".join(  # noqa: FLY002 - a directive a line
    [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_ROUTE = re.compile(r'\{ path: "(?P<path>[^"]*)",.*import\("\./(?P<module>[\w/-]+\.js)"\)')
_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>jobproc</title>
<link rel="icon" href="{base}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{base}{style}">
<script src="{base}theme.js"></script>
{modules}
<script type="module" src="{base}{entry}"></script>
</head>
<body>
<noscript><p>The console needs JavaScript. The API and the command line can do all that it does.</p></noscript>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Route:
    """A page of the console: its path below /console, and the module that shows it."""

    path: str  #: such as `jobs/:id`; a part that begins with a colon stands for any text
    module: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Return the expression that matches the paths of the page."""
        parts = ("[^/]+" if part.startswith(":") else re.escape(part) for part in self.path.split("/"))
        return re.compile("/".join(parts))

    def html(self, version: str, modules: Mapping[str, list[str]]) -> str:
        """Return the shell of the page. Its URLs are relative, so they hold under any prefix of paths.

        `version`: the folder under which files are served; `modules`: the modules that the module of a page loads.
        """
        depth = self.path.count("/") if self.path else -1
        base = f"{'../' * depth if depth >= 0 else 'console/'}static/{version}/"
        return _TEMPLATE.format(
            base=base,
            entry=ENTRY,
            style=STYLE,
            modules="\n".join(f'<link rel="modulepreload" href="{base}{name}">' for name in modules[self.module]),
        )


def routes(source: str) -> list[Route]:
    """Return the routes in the text of the module `routes.js`, in order."""
    return [Route(found["path"], found["module"]) for found in _ROUTE.finditer(source)]
