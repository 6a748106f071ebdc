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
from api.console.shell import CONTENT_SECURITY_POLICY, ENTRY, ROUTES, STYLE, Route, routes
from api.web.problem_kinds import METHOD_NOT_ALLOWED
from api.web.problems import ProblemError

PATH = "/console"
FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Modules that every page needs, with those that they load: they are joined to one file, by the name of the first.
CORE = (ENTRY, "parts/copy.js", "client/streams.js")
STYLES = ("styles/tokens.css", "styles/layout.css", "styles/parts.css")
VENDORED = "vendor/"
_STATIC = "static/"
_IMMUTABLE = "public, max-age=31536000, immutable"
_CHECKED = "no-cache"  # a browser asks with the ETag before it uses its copy


class MemoryFile:
    """A file in memory, compressed once."""

    def __init__(self, content: bytes, media_type: str, etag: str, **headers: str) -> None:
        self.compressed = gzip.compress(content, mtime=0)
        self._content = content
        self._etag = f'"{etag}"'
        self._headers = {"Content-Type": media_type, "ETag": self._etag, "Vary": "Accept-Encoding", **headers}

    def response(self, request: Headers) -> Response:
        """Return the response to a GET with these headers."""
        tags = {tag.strip().removeprefix("W/") for tag in request.get("if-none-match", "").split(",")}
        if self._etag in tags:
            return Response(status_code=304, headers=self._headers)
        if "gzip" in request.get("accept-encoding", ""):  # ReadMiddleware has removed a refused one
            return Response(self.compressed, headers={**self._headers, "Content-Encoding": "gzip"})
        return Response(self._content, headers=self._headers)


def prepared(folder: Path) -> dict[str, str]:
    """Return the files that browsers get, by name: the core as one module, one style sheet, all without comments."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in paths}
    sources = {
        name: text if name.startswith(VENDORED) else modules.without_comments(text)
        for name, text in texts.items()
        if name.endswith(".js")
    }
    core = modules.closure(list(CORE), sources)
    files = {name: modules.against_joined(name, text, ENTRY, core) for name, text in sources.items()}
    files |= {name: text for name, text in texts.items() if name.endswith(".svg")}
    files[ENTRY] = modules.joined(core, sources)
    files[STYLE] = "".join(modules.plain_style(texts[name]) for name in STYLES)
    return {name: text for name, text in files.items() if name not in core or name == ENTRY}


class ConsoleSite:
    """The ASGI app that serves the console."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read all files of the folder."""
        texts = prepared(folder)
        digest = hashlib.sha256("".join(name + text for name, text in texts.items()).encode())
        self.version = digest.hexdigest()[:12]
        self.files = {
            f"{_STATIC}{self.version}/{name}": MemoryFile(
                text.encode(),
                MEDIA_TYPES[Path(name).suffix],
                hashlib.sha256(text.encode()).hexdigest()[:32],
                **{"Cache-Control": _IMMUTABLE},
            )
            for name, text in texts.items()
        }
        self.routes = routes((folder / ROUTES).read_text())
        loaded = {route.module: modules.closure([ENTRY, route.module], texts) for route in self.routes}
        self._patterns = [(route.pattern, self._shell(route, loaded)) for route in self.routes]

    def _shell(self, route: Route, loaded: dict[str, list[str]]) -> MemoryFile:
        content = route.html(self.version, loaded).encode()
        return MemoryFile(
            content,
            "text/html; charset=utf-8",
            f"{self.version}-{hashlib.sha256(content).hexdigest()[:12]}",  # the console compares the version in it
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
        return site.response("", request.headers)

    app.add_api_route(PATH, overview, include_in_schema=False)
    app.mount(PATH, site, name="console")
