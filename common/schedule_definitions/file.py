"""The file that declares schedules: YAML or JSON, read by the migration."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from common import declaration_file
from common.domain.errors import StartupError
from common.domain.tenancy.tenants import DEFAULT_TENANT_NAME, NAME_PATTERN
from common.schedule_definitions.definition import ScheduleDefinition


class DeclaredSchedule(ScheduleDefinition):
    """A schedule in the file, with the tenant that it belongs to."""

    tenant: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")] = DEFAULT_TENANT_NAME


class ScheduleFile(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    schedules: list[DeclaredSchedule]


@dataclass(frozen=True, slots=True)
class DeclaredSchedules:
    """The schedules of a file, by tenant and name."""

    by_tenant: dict[str, dict[str, DeclaredSchedule]]


def read_schedules(path: str) -> DeclaredSchedules:
    """Return the schedules of a file. Raises StartupError, whose sentence names the file and what is wrong in it."""
    content = declaration_file.read(path, ScheduleFile)
    by_tenant: dict[str, dict[str, DeclaredSchedule]] = {}
    for schedule in content.schedules:
        of_tenant = by_tenant.setdefault(schedule.tenant, {})
        if schedule.name in of_tenant:
            raise StartupError(f"{path}: tenant {schedule.tenant} has two schedules {schedule.name}")
        of_tenant[schedule.name] = schedule
        try:
            schedule.job.submission_json()
        except (TypeError, ValueError) as error:
            raise StartupError(f"{path}: the job of {schedule.name} is no JSON: {error}") from error
    return DeclaredSchedules(by_tenant)
