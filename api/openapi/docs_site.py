"""The documentation site at /console/docs: the files of a folder that `make docs` has filled, from memory.

A page may load and run nothing but what belongs to the site. Its inline scripts are allowed by their hashes.
"""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from api.openapi.pages import inline_hashes
from api.web.responses import MemoryFile

PATH = "/console/docs"
INDEX = "index.html"
_TEXT = ("text/", "application/json", "application/xml", "image/svg+xml")
#: Names with a hash of the content, but for the bundle: `make docs` changes it under the name that Zensical gave it.
_HASHED_NAME = re.compile(r"(?!bundle)\w+\.[0-9a-f]{8}\.min\.(css|js)")
_IMMUTABLE = "public, max-age=31536000, immutable"
_CHECKED = "no-cache"  # a browser asks with the ETag before it uses its copy


def read_file(path: Path) -> MemoryFile:
    """Read a file, compressed if it is text: `make docs` has stored that beside it."""
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        "Content-Type": f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": _IMMUTABLE if _HASHED_NAME.fullmatch(path.name) else _CHECKED,
        "Vary": "Accept-Encoding",
    }
    if path.suffix == ".html":
        headers["Content-Security-Policy"] = content_security_policy(content.decode())
    if not media_type.startswith(_TEXT):
        return MemoryFile(content, False, headers)
    stored = Path(f"{path}.gz")
    return MemoryFile(stored.read_bytes() if stored.exists() else gzip.compress(content, mtime=0), True, headers)


class DocsSite:
    """The ASGI app that serves the site."""

    def __init__(self, folder: Path) -> None:
        """Read all files of the folder."""
        paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".gz"]
        self._files = {path.relative_to(folder).as_posix(): read_file(path) for path in paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a file. Raises HTTPException for a path without one, and for another method than GET."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "GET":  # ReadMiddleware has made a GET of each HEAD
            raise HTTPException(405, headers={"Allow": "GET"})
        await self._response(path, Headers(scope=scope))(scope, receive, send)

    def _response(self, path: str, request: Headers) -> Response:
        name = path.removeprefix("/")
        file = self._files.get(f"{name}{INDEX}" if not name or name.endswith("/") else name)
        if file is None:
            raise HTTPException(404)
        return file.response(request)


def content_security_policy(html: str) -> str:
    """Return the policy of a page of the site."""
    return "; ".join(
        [
            "default-src 'none'",
            "connect-src 'self'",  # the index of the search
            "img-src 'self' data:",
            f"script-src 'self'{inline_hashes('script', html)}",
            "style-src 'self' 'unsafe-inline'",  # Mermaid writes a style sheet into each diagram
            "worker-src 'self'",  # the search
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def install(app: FastAPI, folder: str) -> None:
    """Serve the site of a folder; nothing, if there is no such folder."""
    if folder and (Path(folder) / INDEX).is_file():
        app.add_api_route(PATH, _to_index, include_in_schema=False)
        app.mount(PATH, DocsSite(Path(folder)), name="docs-site")


async def _to_index() -> RedirectResponse:
    """Return a redirect to the first page. It is relative: so it holds under any prefix."""
    return RedirectResponse("docs/", 307)
