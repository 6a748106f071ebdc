"""Outages: the errors of PostgreSQL that are worth a retry on a new connection, and never the fault of a row.

The drivers' modules decide by this about each error, and about errors without a SQLSTATE, which are of the driver.
"""

#: Classes of SQLSTATE: lost connections (08), refused logins (28), no such database (3D), serialization failures and
#: deadlocks (40), no memory, disk space or connection left (53), shutdowns, crashes and cancels (57), I/O errors (58).
_CLASSES = frozenset({"08", "28", "3D", "40", "53", "57", "58"})
#: A server that is read-only, as after a failover (25006); time limits of a session's transaction (25P03, 25P04); no
#: table yet (42P01); a lock that another session holds for too long (55P03).
_CODES = frozenset({"25006", "25P03", "25P04", "42P01", "55P03"})


def is_outage_code(sqlstate: str) -> bool:
    """Return True if an error with this SQLSTATE is an outage."""
    return sqlstate[:2] in _CLASSES or sqlstate in _CODES
