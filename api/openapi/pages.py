"""The pages /docs and /docs/glossary. They need no internet, and may load and run nothing but what is theirs."""

import base64
import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

STATIC_PATH = "/docs/static"
GLOSSARY_PAGE = Path(__file__).parent / "glossary.html"  # made by `make generate`


def install(app: FastAPI, issuer: str) -> None:
    """Add the pages and their static files to the app. `issuer`: the OpenID provider; empty: there is none."""
    package = find_spec("fastapi_offline")
    assert package is not None and package.origin is not None  # noqa: S101, PT018 - a dependency is installed
    app.mount(STATIC_PATH, StaticFiles(directory=Path(package.origin).parent / "static"), name="docs-static")
    # Relative, so that they lead to the API under whatever path a proxy serves it.
    # Swagger UI reads the provider's discovery document.
    provider = " {0.scheme}://{0.netloc}".format(urlsplit(issuer)) if issuer else ""
    _add_page(app, "/docs", _documentation("."), provider)
    _add_page(app, "/docs/", _documentation(".."), provider)
    for path in ("/docs/glossary", "/docs/glossary/"):
        _add_page(app, path, GLOSSARY_PAGE.read_text())


def _documentation(root: str) -> str:
    """Return Swagger UI as a page from which `root` is the relative URL of the API."""
    static = root + STATIC_PATH
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="jobproc",
        swagger_js_url=f"{static}/swagger-ui-bundle.js",
        swagger_css_url=f"{static}/swagger-ui.css",
        swagger_favicon_url=f"{static}/favicon.png",
    )
    return bytes(page.body).decode()


def _add_page(app: FastAPI, path: str, html: str, connects_to: str = "") -> None:
    headers = {"Content-Security-Policy": content_security_policy(html, connects_to)}

    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    app.add_api_route(path, page, include_in_schema=False)


def content_security_policy(html: str, connects_to: str = "") -> str:
    """Return the policy of a page: it loads from the API alone, and runs its own inline scripts and styles alone.

    `connects_to`: further origins from which its scripts may read, each after a space.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"connect-src 'self'{connects_to}",
            "img-src 'self' data:",  # Swagger UI's icons
            f"script-src 'self'{inline_hashes('script', html)}",
            f"style-src 'self'{inline_hashes('style', html)}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def inline_hashes(tag: str, html: str) -> str:
    """Return the source expressions for the inline elements of a page."""
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return "".join(f" 'sha256-{digest}'" for digest in digests)
