"""The composition root: routes, middleware, problem responses, and API documentation."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.console import site as console
from api.limits.path_prefix import PathPrefix
from api.openapi import docs_site, document, pages
from api.routes import (
    bulk_actions,
    cancel_retry,
    events,
    explain,
    health,
    job_list,
    job_logs,
    job_payload,
    jobs,
    operations,
    schedule_runs,
    schedules,
)
from api.routes.batches import events as batch_events
from api.routes.batches import resource
from api.routes.health import EventLoopProbes
from api.routes.queues import feed, live
from api.routes.queues import resource as queues
from api.routes.tenancy import audit, caller, console_session, console_settings, console_sign_in, keys, tenants, usage
from api.routes.webhooks import deliveries as webhook_deliveries
from api.routes.webhooks import endpoints as webhook_endpoints
from api.routes.workflows import resource as workflow_resource
from api.routes.workflows import submission as workflow_submission
from api.services import Services
from api.telemetry.loop_lag import LoopLag
from api.telemetry.metrics import ApiMetrics
from api.telemetry.middleware import RequestMiddleware
from api.web import exception_handlers
from api.web.browser_guard import PAGE_REQUEST_HEADERS, PAGE_RESPONSE_HEADERS, BrowserGuard
from common.settings import Settings
from common.telemetry import traces
from common.telemetry.exposition import Exposition

VERSION = "0.1.0"
#: A collection each 700 new objects, as by default, found nothing but requests in progress, at 16 of 180 us a
#: submission. This many belong to 200 requests at once; a collection of them takes 1.4 ms.
YOUNG_OBJECTS = 10_000
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")  # that pages of other origins may send


def freeze_startup_heap(app: FastAPI) -> None:
    """Let the garbage collector scan objects that live as long as the process no more, and the others seldom.

    A full collection of the modules, models and routes stopped the loop for 42 ms, several times a second under load:
    all of the p99.
    """
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": [], "app": app}
    for route in app.router.routes:
        route.matches(nowhere)  # FastAPI builds the routes of a router when it is first asked for one
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def create_app(settings: Settings) -> FastAPI:
    """Return the application. Raises StartupError if every port for metrics is taken."""
    metrics = ApiMetrics()
    exposition = Exposition(settings, metrics.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Build the services when the server starts, close them when it stops."""
        app.state.services = Services.start(settings, metrics)
        LoopLag(asyncio.get_running_loop(), metrics.loop_lag.observe)
        exposition.start(EventLoopProbes(app.state.services).by_path)
        freeze_startup_heap(app)
        yield
        await app.state.services.stop()
        traces.close()  # here, because uvicorn ends the process by raising the signal again

    app = FastAPI(
        title="jobproc",
        version=VERSION,
        description="The [glossary](/docs/glossary) defines the terms.",
        summary="An asynchronous job processor: post a job, get its id at once, fetch the result.",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # api/openapi/document.py serves it
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,  # the operationId: the name of the route's function
        # Off: the framework's own telemetry would send the texts of exceptions.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.metrics = metrics
    cors = None
    if settings.origins:
        cors = partial(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=_CORS_METHODS,
            allow_headers=PAGE_REQUEST_HEADERS,
            expose_headers=PAGE_RESPONSE_HEADERS,
        )
        app.add_middleware(cors)
    app.add_middleware(
        RequestMiddleware,
        requests=metrics.requests,
        guard=BrowserGuard(settings.origins, settings.hosts),
        prefix=PathPrefix(settings),
        logs_each=settings.access_log,
        compression_min_bytes=settings.compression_min_bytes,
    )
    if traces.tracer is not None:
        from api.telemetry.tracing import TracingMiddleware

        app.add_middleware(TracingMiddleware)
    exception_handlers.install(app, cors)
    for module in (
        job_list,  # before `jobs`, whose path /jobs/{job_id} matches /jobs/events too
        jobs,
        job_payload,
        events,
        job_logs,
        cancel_retry,
        resource,
        batch_events,
        workflow_submission,
        workflow_resource,
        bulk_actions,
        queues,
        feed,
        schedules,
        schedule_runs,
        webhook_endpoints,
        webhook_deliveries,
        keys,
        audit,
        explain,
        operations,
        live,
        caller,
        console_session,
        console_sign_in,
        console_settings,
        usage,
        tenants,
        health,
    ):
        app.include_router(module.router)
    pages.install(app, settings.oidc_issuer)
    docs_site.install(app, settings.docs_folder)
    if settings.console:
        console.install(app)
    document.install(app, settings.oidc_issuer)
    return app
