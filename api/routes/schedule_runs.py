"""Pause, resume and run schedules, and list what became of their instants."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.auth.auditing import audit_entry, change_audited_sync
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.routes.schedules import VERB_KINDS, WITH_ETAG, respond
from api.schemas import JobAccepted
from api.services import Services, get_services
from api.views.schedules import (
    FireList,
    FireListQuery,
    ScheduleView,
    fires_body,
)
from api.web.problem_kinds import (
    INVALID_PARAMETER,
    QUEUE_LATE,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNKNOWN_OPERATION,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body
from api.web.resource_problem_kinds import SCHEDULE_MANAGED, SCHEDULE_NOT_FOUND
from api.web.responses import JsonResponse
from common.domain.job import NewJob
from common.domain.schedules.job import Instant, new_job
from common.domain.states import State
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.schedules import changes, reads
from common.store.schedules.records import StoredSchedule

router = APIRouter(tags=["schedules"], route_class=SecuredRoute)
_PAUSE_RESPONSES = {**problem_responses(*VERB_KINDS, SCHEDULE_MANAGED), **WITH_ETAG}
_RUN_PROBLEMS = problem_responses(
    *VERB_KINDS, UNKNOWN_OPERATION, QUEUE_LATE, QUOTA_EXCEEDED, QUOTA_TOO_SMALL, TENANT_DRAINING
)


@router.post("/schedules/{schedule_id}/pause/", include_in_schema=False)
@router.post("/schedules/{schedule_id}/pause", response_model=ScheduleView, responses=_PAUSE_RESPONSES)
@requires(Scope.SCHEDULES)
async def pause_schedule(schedule_id: UUID, request: Request) -> Response:
    """Pause a schedule: it fires no more until it is resumed. Safe to repeat."""
    return await _set_paused(request, schedule_id, AuditAction.SCHEDULE_PAUSE, paused=True)


@router.post("/schedules/{schedule_id}/resume/", include_in_schema=False)
@router.post("/schedules/{schedule_id}/resume", response_model=ScheduleView, responses=_PAUSE_RESPONSES)
@requires(Scope.SCHEDULES)
async def resume_schedule(schedule_id: UUID, request: Request) -> Response:
    """Resume a schedule, from its next instant on. Those of the pause do not fire. Safe to repeat."""
    return await _set_paused(request, schedule_id, AuditAction.SCHEDULE_RESUME, paused=False)


@router.post("/schedules/{schedule_id}/run/", status_code=202, include_in_schema=False)
@router.post("/schedules/{schedule_id}/run", status_code=202, response_model=JobAccepted, responses=_RUN_PROBLEMS)
@requires(Scope.SCHEDULES)
async def run_schedule(schedule_id: UUID, request: Request) -> Response:
    """Submit the job of a schedule now, beside its instants, also while it is paused. Not safe to repeat."""
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    await check_ignored_body(request, services.settings)
    schedule = await services.pool.run_sync(
        lambda connection: reads.read(connection, caller.tenant, schedule_id), Lane.BY_ID, None, caller.tenant
    )
    at = datetime.now(UTC)
    job = await _job(services, schedule, at)
    if services.backpressure.limit_s:
        await services.backpressure.check(caller.tenant, (job.queue,))

    def run(connection: Connection) -> tuple[StoredSchedule, bool]:
        """Store the job."""
        changes.run_now(connection, caller.tenant, schedule_id, at, job)
        return schedule, True

    with await services.quotas.admit(caller.tenant, (job,)):
        entry = audit_entry(request, AuditAction.SCHEDULE_RUN, schedule_id, {"job_id": str(job.id)})
        await change_audited_sync(services.pool, entry, run)
    services.doorbells.ring_soon(job.queue, 1)
    return JsonResponse(b'{"job_id":"%b","status":"%b"}' % (str(job.id).encode(), State.PENDING.encode()), 202)


@router.get("/schedules/{schedule_id}/fires/", include_in_schema=False)
@router.get(
    "/schedules/{schedule_id}/fires",
    response_model=FireList,
    responses=problem_responses(SCHEDULE_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE),
)
@requires(Scope.SCHEDULES)
async def list_schedule_fires(
    schedule_id: UUID, request: Request, query: Annotated[FireListQuery, Query()]
) -> Response:
    """List what became of the instants of a schedule, newest first, for JOBPROC_SCHEDULE_FIRE_DAYS."""
    services, tenant = get_services(request), principal_of(request).tenant

    def read(connection: Connection) -> list[dict[str, Any]]:
        """Read a page, if the schedule exists."""
        reads.read(connection, tenant, schedule_id)
        return reads.fires(connection, tenant, schedule_id, query.before, query.limit)

    fires = await services.pool.run_sync(read, Lane.BY_ID, None, tenant)
    return JsonResponse(fires_body(query, fires, schedule_id, root_path(request.scope)))


async def _job(services: Services, schedule: StoredSchedule, at: datetime) -> NewJob:
    submission = schedule.submission
    operation = await services.operations.get(submission["operation"], "job.operation")
    webhook = await services.webhooks.default(schedule.tenant)
    instant = Instant(schedule.id, schedule.tenant, at)
    return new_job(submission, operation.spec, new_job_id_now(), instant, webhook)


async def _set_paused(request: Request, schedule_id: UUID, action: AuditAction, *, paused: bool) -> Response:
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    await change_audited_sync(
        services.pool,
        audit_entry(request, action, schedule_id),
        lambda connection: changes.set_paused(connection, caller.tenant, schedule_id, paused=paused),
    )
    return await respond(request, schedule_id)
