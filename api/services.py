"""The services of one API process, built at start and used by the routes."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.auth.access import Access, TokenVerifier
from api.auth.directory import Directory
from api.auth.sessions.beginning import ConsoleSessions
from api.auth.sessions.cookie import SessionCookie
from api.auth.sessions.known_sessions import KnownSessions
from api.auth.sessions.sign_in import PersonSignIn
from api.limits.addresses import ClientAddresses
from api.limits.quotas.quotas import Quotas
from api.limits.rates.request_limits import RequestLimits
from api.limits.rates.shared_windows import SharedWindows
from api.schemas import QueueStatsView
from api.submit.backpressure import Backpressure
from api.submit.batches.ndjson import NdjsonPlaces
from api.submit.batches.ndjson_jobs import NdjsonJobs
from api.submit.doorbells import Doorbells
from api.submit.group_commit import GroupCommit
from api.submit.operations import OperationCache
from api.submit.parsing import SubmissionParser
from api.submit.webhooks.known_endpoints import SubmissionWebhooks
from api.submit.workflows.ndjson_workflows import NdjsonWorkflows
from api.telemetry.metrics import ApiMetrics, PoolGauges
from api.views.job_list import job_row
from api.views.operations import OperationList, operation_list_cache
from api.views.queue_stats import queue_stats_cache
from api.views.queues.live import overview_parts
from api.views.queues.workers import WorkerList, worker_list_cache
from api.watch.batch_reader import BatchReader
from api.watch.batch_watchers import BatchWatchers
from api.watch.feed.reader import FeedReader
from api.watch.shared.list_watchers import ListWatchers
from api.watch.shared.live import LiveReader
from api.watch.watchers import Watchers
from api.watch.workflow_graphs import WorkflowGraphs
from api.web.request_body import RequestBodies
from api.web.ttl_cache import TenantCache
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.telemetry import traces


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one API process."""

    settings: Settings
    bodies: RequestBodies
    pool: DatabasePool
    directory: Directory
    access: Access
    request_limits: RequestLimits
    sessions: ConsoleSessions
    sign_in_cookie: SessionCookie
    person_sign_in: PersonSignIn | None
    addresses: ClientAddresses
    windows: SharedWindows
    quotas: Quotas
    doorbells: Doorbells
    group_commit: GroupCommit
    operations: OperationCache
    parser: SubmissionParser
    queue_stats: TenantCache[QueueStatsView]
    backpressure: Backpressure
    operation_list: TenantCache[OperationList]
    worker_list: TenantCache[WorkerList]
    watchers: Watchers
    ndjson: NdjsonJobs
    ndjson_places: NdjsonPlaces
    ndjson_workflows: NdjsonWorkflows
    batches: BatchReader
    batch_watchers: BatchWatchers
    workflow_graphs: WorkflowGraphs
    webhooks: SubmissionWebhooks
    feed: FeedReader
    live: LiveReader
    lists: ListWatchers

    @classmethod
    def start(cls, settings: Settings, metrics: ApiMetrics) -> "Services":
        """Build the services. None connects before its first use, so the API starts while its database is down."""
        pool = DatabasePool(settings)
        metrics.registry.register(PoolGauges(pool, settings.api_pool_connections))
        directory = Directory(settings, pool)
        windows = SharedWindows(settings)
        request_limits = RequestLimits(settings, windows, metrics.refusals)
        known_sessions = KnownSessions(settings, pool)
        tokens, person_sign_in = _openid(settings, directory, metrics)
        doorbells = Doorbells(settings, metrics)
        group_commit_class = GroupCommit
        if traces.tracer is not None:
            from api.submit.tracing import TracedGroupCommit as group_commit_class  # noqa: N813 - one of two classes
        operations, queue_stats = OperationCache(settings, pool), queue_stats_cache(settings, pool)
        webhooks = SubmissionWebhooks(settings, pool)
        bodies, parser = RequestBodies(settings), SubmissionParser(settings, operations, webhooks)
        quotas = Quotas(settings, pool, windows, metrics.refusals)
        group_commit = group_commit_class(settings, pool, doorbells.ring_soon, metrics)
        backpressure = Backpressure(settings, pool, queue_stats)
        watchers, batches = Watchers(settings, pool, metrics), BatchReader(pool)
        workers = worker_list_cache(settings, pool)
        return cls(
            settings=settings,
            bodies=bodies,
            pool=pool,
            directory=directory,
            access=Access(settings, directory, request_limits, known_sessions, tokens),
            request_limits=request_limits,
            sessions=ConsoleSessions(settings, pool, known_sessions),
            sign_in_cookie=SessionCookie(settings, "jobproc_sign_in", "Lax"),  # a page of the provider leads back
            person_sign_in=person_sign_in,
            addresses=ClientAddresses(settings.trusted_proxies),
            windows=windows,
            quotas=quotas,
            doorbells=doorbells,
            group_commit=group_commit,
            operations=operations,
            parser=parser,
            queue_stats=queue_stats,
            backpressure=backpressure,
            operation_list=operation_list_cache(pool),
            worker_list=workers,
            watchers=watchers,
            ndjson=NdjsonJobs(pool, bodies, parser, group_commit, (backpressure, quotas)),
            ndjson_places=NdjsonPlaces(settings),
            ndjson_workflows=NdjsonWorkflows(pool, bodies, parser, group_commit, (backpressure, quotas)),
            batches=batches,
            batch_watchers=BatchWatchers(settings, pool, batches, watchers),
            workflow_graphs=WorkflowGraphs(settings, pool),
            webhooks=webhooks,
            feed=FeedReader(settings, pool),
            live=LiveReader(settings, overview_parts(pool, queue_stats, workers)),
            lists=ListWatchers(settings, pool, watchers, job_row),
        )

    def drain(self) -> None:
        """Wake every waiting client, so that it is answered before the process ends."""
        for waited_for in (self.watchers, self.batch_watchers, self.feed, self.live, self.lists):
            waited_for.drain()

    async def stop(self) -> None:
        """Close the connections and end the background tasks."""
        for waited_for in (self.watchers, self.batch_watchers, self.feed, self.live, self.lists):
            await waited_for.close()
        await self.doorbells.close()
        if self.person_sign_in is not None:
            await self.person_sign_in.close()
        await self.access.close()
        await self.sessions.known.close()
        await self.directory.close()
        await self.quotas.close()
        await self.windows.close()
        await self.pool.close()


def _openid(
    settings: Settings, directory: Directory, metrics: ApiMetrics
) -> tuple[TokenVerifier | None, PersonSignIn | None]:
    """Return what verifies tokens, which reads the keys of the provider at once, and what signs people in.

    None: that is not configured.
    """
    if not settings.oidc_issuer:
        return None, None
    from api.auth.openid.provider import Provider
    from api.auth.openid.sign_in import OpenIdSignIn
    from api.auth.openid.tokens import TokenVerification

    provider = Provider(settings, metrics.registry)
    provider.refresh()
    tokens = TokenVerification(settings, directory, provider)
    is_on = settings.console_sign_in and settings.oidc_client_id
    return tokens, OpenIdSignIn(settings, tokens) if is_on else None


def get_services(request: Request) -> Services:
    """Return the services of the app that serves a request."""
    return cast("Services", request.app.state.services)
