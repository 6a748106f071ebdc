"""The file that declares schedules: YAML or JSON, read by the migration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.domain.errors import StartupError
from common.domain.tenancy.tenants import DEFAULT_TENANT_NAME, NAME_PATTERN
from common.schedule_definitions.definition import ScheduleDefinition

MAX_BYTES = 16 * 1024 * 1024
MAX_REPORTED = 5  # errors in the sentence about a file


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
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise StartupError(f"{path} has more than {MAX_BYTES} bytes")
        content = ScheduleFile.model_validate(yaml.safe_load(data))
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise StartupError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise StartupError(f"{path}: {_sentence(error)}") from error
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


def _sentence(error: ValidationError) -> str:
    details: list[Any] = list(error.errors(include_url=False, include_context=False, include_input=False))
    shown = [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details[:MAX_REPORTED]]
    more = f" (and {len(details) - MAX_REPORTED} more)" if len(details) > MAX_REPORTED else ""
    return "; ".join(shown) + more
