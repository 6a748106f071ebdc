"""Row level security: the second check of a caller's tenant. The first one is in each statement of the store.

The API's role sees and writes the rows of the tenants that its statement names in a setting, and none without it
(common/store/connection/caller.py). Worker, controller and the owner of the tables serve all tenants. No policy holds
for a superuser.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from common.models import Base
from common.store.connection.caller import OF_CALLER
from common.store.schema import partitions

#: Tables without a tenant, each with the reason.
WITHOUT_TENANT: Mapping[str, str] = {
    "workers": "worker processes serve all tenants",
    "operations": "the operations of the workers are the same for all tenants",
    "leaders": "the locks of controllers",
    "tenants": "the tenants themselves: each API process keeps all of them in memory",
    "api_keys": "each API process keeps all keys in memory, to find the tenant of a caller",
    "console_sessions": "a session is found by its secret, before the tenant of its caller is known",
    "tenant_usage": "each API process keeps in memory what all tenants use, as it does the tenants",
    "usage_counts": "when all tenants were counted; it has rows of none",
}
TABLES = sorted(Base.metadata.tables.keys() - WITHOUT_TENANT.keys())
OWN, ALL = "own_tenants", "all_tenants"
_CONDITIONS = {OWN: OF_CALLER, ALL: "true"}
_TABLES_AND_PARTITIONS = text("""
    SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c
    WHERE c.oid = ANY (CAST(:tables AS regclass[]))
       OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY (CAST(:parents AS regclass[])))
    ORDER BY 1
""")
_POLICIES = text("""
    SELECT tablename, policyname, array_agg(CAST(role AS text) ORDER BY role)
    FROM pg_policies, unnest(roles) AS role WHERE schemaname = current_schema() GROUP BY 1, 2
""")


def apply(connection: Connection, roles: Mapping[str, str], owner: str, of_callers: Sequence[str] = ()) -> None:
    """Give all tables and partitions the policies of the parts' roles. What is as it should be is not locked.

    `roles`: by part; parts without a role of their own connect as the owner. Roles that a policy has stay: a run
    without the settings of the roles takes nothing from them. `of_callers`: other roles that, as the API's, see the
    rows of the tenants of their callers. The caller commits.
    """
    others = sorted({owner, *(role for part, role in roles.items() if part != "api")})
    own = [*([roles["api"]] if "api" in roles else []), *of_callers]
    wanted = {ALL: others} | ({OWN: own} if own else {})
    existing = {(row[0], row[1]): list(row[2]) for row in connection.execute(_POLICIES)}
    arguments = {"tables": TABLES, "parents": [*partitions.TABLES, partitions.AUDIT]}
    for table, is_secured in connection.execute(_TABLES_AND_PARTITIONS, arguments).all():
        for policy, names in wanted.items():
            if (table, policy) not in existing:
                connection.exec_driver_sql(
                    f"CREATE POLICY {policy} ON {table} TO {', '.join(names)} USING ({_CONDITIONS[policy]})"
                )
            elif missing := sorted(set(names) - set(existing[table, policy])):
                names_and_more = ", ".join([*existing[table, policy], *missing])
                connection.exec_driver_sql(f"ALTER POLICY {policy} ON {table} TO {names_and_more}")
        if not is_secured:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
