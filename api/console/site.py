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

from api.console.shell import CONTENT_SECURITY_POLICY, ROUTES, Route, routes

PATH = "/console"
FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
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


class ConsoleSite:
    """The ASGI app that serves the console."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read all files of the folder."""
        paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
        contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        digest = hashlib.sha256(b"".join(name.encode() + content for name, content in contents.items()))
        self.version = digest.hexdigest()[:12]
        headers = {"Cache-Control": _IMMUTABLE}
        self.files = {
            f"{_STATIC}{self.version}/{name}": MemoryFile(
                content, MEDIA_TYPES[Path(name).suffix], hashlib.sha256(content).hexdigest()[:32], **headers
            )
            for name, content in contents.items()
        }
        texts = {name: content.decode() for name, content in contents.items()}
        self.routes = routes(texts[ROUTES])
        self._patterns = [(route.pattern, self._shell(route, texts)) for route in self.routes]

    def _shell(self, route: Route, texts: dict[str, str]) -> MemoryFile:
        content = route.html(self.version, texts).encode()
        return MemoryFile(
            content,
            "text/html; charset=utf-8",
            f"{self.version}-{hashlib.sha256(content).hexdigest()[:12]}",  # the console compares the version in it
            **{"Cache-Control": _CHECKED, "Content-Security-Policy": CONTENT_SECURITY_POLICY},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a path below /console. Raises HTTPException for one without a page or file, and for another method."""
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        if scope["method"] != "GET":  # ReadMiddleware has made a GET of each HEAD
            raise HTTPException(405, headers={"Allow": "GET"})
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
