"""Settings of the migration."""

from typing import Annotated

from pydantic import Field, field_validator

from common.domain.tenancy.api_keys import ApiKeyToken
from common.domain.tenancy.tenants import NAME_PATTERN
from common.settings.field_types import Secret, SettingsGroup

_ROLE_AND_TENANT = f"[a-z_][a-z0-9_-]{{0,62}}={NAME_PATTERN}"


class MigrationSettings(SettingsGroup):
    """The roles of PostgreSQL, those that submit by SQL, the first API key, and the file of queues."""

    database_roles: Annotated[str, Field(pattern="^([a-z][a-z0-9_]{0,40})?$")] = Field(
        "",
        description="Migration: prefix of the roles with which the parts connect to PostgreSQL: with `jobproc` it "
        "gives `jobproc_api`, `jobproc_worker`, `jobproc_controller` and `jobproc_metrics` the rights that each needs. "
        "Empty: there are no such roles.",
    )
    api_database_password: Secret = Field(
        "",
        description="Migration: password of the API's role, which is created if it does not exist. "
        "Empty: that role is neither created nor changed.",
    )
    worker_database_password: Secret = Field("", description="Migration: the same of the workers' role.")
    controller_database_password: Secret = Field("", description="Migration: the same of the controller's role.")
    metrics_database_password: Secret = Field(
        "", description="Migration: the same of the role with which KEDA reads the depth of a queue."
    )
    first_api_key: Secret = Field(
        "",
        description="Migration: an API key that is stored if none has its id, with every scope, for the tenant "
        "`default`: `jp_`, 12 letters or digits, `_` and 43 letters or digits. Empty: none.",
    )
    queues_file: str = Field(
        "",
        description="Migration: file of YAML or JSON that declares limits of queues. Those that it no longer declares "
        "are taken away; pauses stay. Empty: limits are as they are.",
    )

    sql_submit_roles: Annotated[str, Field(pattern=f"^({_ROLE_AND_TENANT}(,{_ROLE_AND_TENANT})*)?$")] = Field(
        "",
        description="Migration: roles of PostgreSQL that may submit jobs by the function `submit` of the schema, each "
        "with its tenant: `app=acme,billing=default`. Needs JOBPROC_DATABASE_ROLES. Empty: there is no such function.",
    )

    @field_validator("first_api_key")
    @classmethod
    def _check_first_api_key(cls, value: str) -> str:
        if value and ApiKeyToken.parse(value) is None:
            raise ValueError("must be jp_, 12 letters or digits, _ and 43 letters or digits")
        return value
