"""The tenants for which a statement of the API runs, as the policies of the tables read them.

The statement itself sets them: that needs no other round trip, and the setting ends with its transaction, also through
a pooler. They are the tenants of who has sent the requests, never those of the rows.
"""

from collections.abc import Collection

TENANTS_SETTING = "jobproc.tenants"
#: True of rows of the caller's tenants; the condition of the policies. Evaluated once a statement and table, not a row:
#: with the bare setting an insert takes twice the time. A session that has once had the setting in a transaction reads
#: '' afterwards, which is no array.
OF_CALLER = "tenant = ANY ((SELECT nullif(current_setting('jobproc.tenants', true), '')::int[])::int[])"
_CALLER = "(SELECT set_config('jobproc.tenants', ({tenants}::int[])::text, true) AS tenants OFFSET 0) AS caller"


def for_caller(select: str, tenants: str = "$1") -> str:
    """Return a SELECT that runs for the tenants of an SQL array. CTEs that it reads may change rows.

    The nested loop evaluates the setting first, and then its inner side, which asks for it: PostgreSQL evaluates the
    policies of a table, and runs a CTE that changes rows, when the first row is asked for.
    """
    return f"""SELECT answer.* FROM {_CALLER.format(tenants=tenants)}
    CROSS JOIN LATERAL (SELECT * FROM ({select}) AS q WHERE caller.tenants IS NOT NULL OFFSET 0) AS answer"""


def caller_cte(tenants: str) -> str:
    """Return a CTE for an INSERT whose SELECT cross joins it: so the policies are evaluated after the setting."""
    return f"caller AS MATERIALIZED (SELECT * FROM {_CALLER.format(tenants=tenants)})"


def set_caller(tenants: Collection[int]) -> str:
    """Return the call that sets the tenants until the transaction ends."""
    return f"set_config('jobproc.tenants', '{array(tenants)}', true)"


def array(tenants: Collection[int]) -> str:
    """Return tenants as the text of an array of PostgreSQL."""
    return "{" + ",".join(map(str, tenants)) + "}"
