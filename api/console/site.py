"""Serves the console from memory: its static files under a path with their version, and a shell for each page."""

import gzip
import hashlib
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from api.console import modules
from api.console.minification import plain_module, plain_style
from api.console.shell import CONTENT_SECURITY_POLICY, ENTRY, ROUTES, STYLE, Route, routes
from api.web.problem_kinds import METHOD_NOT_ALLOWED
from api.web.problems import ProblemError
from api.web.responses import MemoryFile

PATH = "/console"
FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Modules that every page needs, with those that they load: they are joined to one file, by the name of the first.
CORE = (ENTRY, "parts/table.js", "parts/copy.js", "parts/spark.js", "client/streams.js")
STYLES = ("styles/tokens.css", "styles/layout.css", "styles/parts.css")
VENDORED = "vendor/"
#: Other modules that are sent as one file, by the starts of their names. Any other folder of pages is a file too.
TOGETHER = {
    "parts.js": ("client/", "layouts/", "parts/"),
    "pages/work.js": ("pages/batches/", "pages/errors/", "pages/workflows/"),
    "pages/administration.js": (
        "pages/access/",
        "pages/health",
        "pages/schedules/",
        "pages/webhooks/",
        "pages/workers/",
    ),
}
SCRIPTS = ("theme.js",)  # run before the page is drawn, as no modules
_STATIC = "static/"
_IMMUTABLE = "public, max-age=31536000, immutable"
_CHECKED = "no-cache"  # a browser asks with the ETag before it uses its copy


def _file(text: str, media_type: str, etag: str, **headers: str) -> MemoryFile:
    fields = {"Content-Type": media_type, "ETag": f'"{etag}"', "Vary": "Accept-Encoding", **headers}
    return MemoryFile(gzip.compress(text.encode(), mtime=0), True, fields)


def prepared(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the files that browsers get by name, and the file of each module by its name.

    The modules of the core are one file, as are those of a folder of pages; styles are one sheet. None has comments.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in paths}
    files = {name: text for name, text in texts.items() if name.endswith(".svg")}
    files |= {name: plain_module(texts[name]) for name in SCRIPTS}
    files[STYLE] = "".join(plain_style(texts[name]) for name in STYLES)
    sources = {
        name: text if name.startswith(VENDORED) else plain_module(text)
        for name, text in texts.items()
        if name.endswith(".js") and name not in SCRIPTS
    }
    core = modules.closure(list(CORE), sources)
    homes = {name: ENTRY if name in core else home(name) for name in sources}
    for file in dict.fromkeys(homes.values()):
        own = list(CORE) if file == ENTRY else [name for name in sources if homes[name] == file]
        names = [name for name in modules.closure(own, sources) if homes[name] == file]
        files[file] = modules.joined(file, names, sources, homes)
    return files, homes


def home(name: str) -> str:
    """Return the file of a module that is not of the core."""
    for file, starts in TOGETHER.items():
        if name.startswith(starts):
            return file
    folder = name.rpartition("/")[0]
    return f"{folder}.js" if folder.startswith("pages/") else name


class ConsoleSite:
    """The ASGI app that serves the console."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read all files of the folder."""
        texts, self.homes = prepared(folder)
        digest = hashlib.sha256("".join(name + text for name, text in texts.items()).encode())
        self.version = digest.hexdigest()[:12]
        self.files = {
            f"{_STATIC}{self.version}/{name}": _file(
                text,
                MEDIA_TYPES[Path(name).suffix],
                hashlib.sha256(text.encode()).hexdigest()[:32],
                **{"Cache-Control": _IMMUTABLE},
            )
            for name, text in texts.items()
        }
        self.routes = routes((folder / ROUTES).read_text())
        loaded = {route.module: modules.closure([ENTRY, self.homes[route.module]], texts) for route in self.routes}
        self._patterns = [(route.pattern, self._shell(route, loaded)) for route in self.routes]

    def _shell(self, route: Route, loaded: dict[str, list[str]]) -> MemoryFile:
        text = route.html(self.version, loaded)
        return _file(
            text,
            "text/html; charset=utf-8",
            f"{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}",  # the console compares its version
            **{"Cache-Control": _CHECKED, "Content-Security-Policy": CONTENT_SECURITY_POLICY},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a path below /console. Raises HTTPException for one without a page or file."""
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        if scope["method"] != "GET":  # ReadMiddleware has made a GET of each HEAD
            await ProblemError(METHOD_NOT_ALLOWED).response({"Allow": "GET"})(scope, receive, send)
            return
        response = self.response(path, Headers(scope=scope)) if path else RedirectResponse("../console", 307)
        await response(scope, receive, send)

    def response(self, path: str, request: Headers) -> Response:
        """Return the response for a path below /console. Raises HTTPException if there is nothing."""
        if (file := self.files.get(path)) is not None:
            return file.response(request)
        if not path.startswith(_STATIC):
            for pattern, shell in self._patterns:
                if pattern.fullmatch(path):
                    return shell.response(request)
        raise HTTPException(404)


def install(app: FastAPI) -> None:
    """Serve the console. Paths below /console that the app has already are served as before."""
    site = ConsoleSite()

    async def overview(request: Request) -> Response:
        """Send the page of the overview."""
        return site.response("", request.headers)

    app.add_api_route(PATH, overview, include_in_schema=False)
    app.mount(PATH, site, name="console")
