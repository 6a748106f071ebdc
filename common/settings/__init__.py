"""The settings of every process: typed, frozen, read once from the environment and passed in.

DATABASE_URL and REDIS_URL have their well-known names. Every other variable begins with JOBPROC_ and carries its unit.

Start at `process_settings.py`, which reads them; a module for each process declares its fields. Imports only
`common.domain`, `common.command_line`, `common.failpoints` and `common.server_urls`.
"""

from common.settings.field_types import PREFIX, Environment, LogFormat, Pooler, name_of
from common.settings.process_settings import Settings
from common.settings.variables import all_variables, variables_of

__all__ = ["PREFIX", "Environment", "LogFormat", "Pooler", "Settings", "all_variables", "name_of", "variables_of"]
