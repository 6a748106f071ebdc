"""The application: routes, problems, documentation that needs no internet."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from api.openapi import document
from api.routes import bulk_actions, cancel_retry, events, explain, health, job_list, jobs, operations, queue_stats
from api.services import Services
from api.telemetry.metrics import ApiMetrics
from api.telemetry.middleware import RequestMiddleware
from api.web import problems
from common.settings import Settings
from common.telemetry import traces
from common.telemetry.exposition import Exposition

VERSION = "0.1.0"
STATIC = "/docs/static"
# Of pages of other origins: what they may ask with, and be told.
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CORS_REQUEST_HEADERS = ("Content-Type", "If-None-Match", "Idempotency-Key", "X-Request-ID", "traceparent")
_CORS_EXPOSED_HEADERS = ("Allow", "Deprecation", "ETag", "Link", "Location", "Retry-After", "Sunset", "X-Request-ID")


def create_app(settings: Settings) -> FastAPI:
    """Return the application. Raises StartupError when the port of the metrics is taken."""
    meters = ApiMetrics()
    exposition = Exposition(settings.metrics_port, meters.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Build the parts as the server starts, close them as it ends."""
        app.state.services = Services.start(settings, meters)
        exposition.start()
        # What lives as long as the process is not walked by the garbage collector again: a full collection of the modules,
        # models and routes stopped the loop for 42 ms, several times a second under load, and was all of the p99.
        gc.collect()
        gc.freeze()
        yield
        await app.state.services.stop()
        traces.close()  # here, as uvicorn ends the process by the signal that it got

    app = FastAPI(
        title="jobproc",
        version=VERSION,
        summary="An asynchronous job processor: post a job, get its id at once, fetch the result.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,  # the operationId: the name of the route's function
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # its own would send the texts of exceptions
    )
    across = None
    if settings.origins:
        across = partial(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=_CORS_EXPOSED_HEADERS,
        )
        app.add_middleware(across)
    app.add_middleware(RequestMiddleware, requests=meters.requests, logs_each=settings.access_log, compress_bytes=settings.compress_bytes)
    if traces.tracer is not None:
        from api.telemetry.tracing import TracingMiddleware

        app.add_middleware(TracingMiddleware)
    problems.install(app, across)
    for one in (jobs, events, job_list, cancel_retry, bulk_actions, explain, operations, queue_stats, health):
        app.include_router(one.router)
    _add_docs(app)
    document.install(app)
    return app


def _add_docs(app: FastAPI) -> None:
    package = find_spec("fastapi_offline")
    assert package is not None and package.origin is not None  # noqa: S101, PT018 - a dependency
    app.mount(STATIC, StaticFiles(directory=Path(package.origin).parent / "static"), name="docs-static")

    @app.get("/docs", include_in_schema=False)
    @app.get("/docs/", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="jobproc",
            swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{STATIC}/favicon.png",
        )
