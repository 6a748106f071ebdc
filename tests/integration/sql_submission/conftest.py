"""A schema with the function `submit`, and roles of applications that may call it."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from migrations.run import Run
from rig.settings import ROLE_PREFIX, WITH_ROLES
from rig.system import SUPERUSER, Database, System

NO_SCHEMA = "public"


class Application:
    """Roles of a test: one that submits for the tenant `default`, one for `acme`, one for nobody."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self.url = system.database.url
        self._folder = folder
        self._prefix = f"app{uuid.uuid4().hex[:8]}"
        self._opened: list[Database] = []
        for name in ("default", "acme", "nobody"):
            system.database.rows(f"CREATE ROLE {self.role(name)} LOGIN")
        self.value = f"{self.role('default')}=default,{self.role('acme')}=acme"
        self.migrate()

    def role(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def migrate(self, **settings: str) -> Run:
        run = Run(self._folder, self.url, **{**WITH_ROLES, "JOBPROC_SQL_SUBMIT_ROLES": self.value, **settings})
        assert run.wait() == 0, run.log
        return run

    def as_role(self, name: str) -> Database:
        """Connect as a role of the application."""
        self._opened.append(Database(self.url.replace(SUPERUSER, f"postgresql://{self.role(name)}@"), NO_SCHEMA))
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()
        self.value = ""
        self.migrate()
        for name in ("default", "acme", "nobody"):
            self.system.database.rows(f"DROP OWNED BY {self.role(name)}; DROP ROLE {self.role(name)}")
        self.system.database.rows(f"DROP OWNED BY {ROLE_PREFIX}_sql_submit")


@pytest.fixture
def application(system: System, tmp_path: Path) -> Iterator[Application]:
    if os.environ.get("JOBPROC_DATABASE_POOLER") == "transaction":
        pytest.skip("the rig's pooler connects with one user")
    application = Application(system, tmp_path)
    yield application
    application.close()
