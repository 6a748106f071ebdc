"""The settings of every process: typed, frozen, read once from the environment and passed in.

DATABASE_URL and REDIS_URL have their well-known names. Every other variable begins with JOBPROC_ and carries its unit.
A secret may come from a file instead, whose name is in the variable with the suffix _FILE; a file is read again for
each new connection.

Start at `process_settings.py`, which reads them; a module for each process declares its fields. Imports only
`common.domain`, `common.command_line`, `common.failpoints` and `common.server_urls`.
"""

from common.settings.field_types import PREFIX, Environment, LogFormat, Pooler, name_of
from common.settings.process_settings import Settings, secret_variables
from common.settings.secret_files import SecretFileError
from common.settings.variables import all_variables, variables_of

__all__ = [
    "PREFIX",
    "Environment",
    "LogFormat",
    "Pooler",
    "SecretFileError",
    "Settings",
    "all_variables",
    "name_of",
    "secret_variables",
    "variables_of",
]
