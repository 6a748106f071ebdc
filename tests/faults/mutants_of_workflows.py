"""Mutants of workflows."""

from faults.mutant import Mutant

MUTANTS_OF_WORKFLOWS = (
    Mutant(
        "a job with several parents waits for the latest one alone",
        "common/store/dependencies/resolve.py",
        """                   CASE WHEN w.has_added
                          OR EXISTS (SELECT FROM live a WHERE a.id >= w.first AND a.id <= w.last)
""",
        """                   CASE WHEN w.has_added
""",
        ("redis_flushed",),
        ("a job runs after its parents",),
        seconds=30,
    ),
    Mutant(
        "the controller asks for no job that waits",
        "worker/workflows/sweep.py",
        "        if not tenants:\n",
        "        if tenants or not tenants:\n",
        ("redis_flushed",),
        ("nothing is lost", "everything is drained"),
        seconds=30,
    ),
    Mutant(
        "a failed parent is overlooked",
        "common/store/dependencies/resolve.py",
        "CASE WHEN failed IS NOT NULL THEN policy WHEN alive",
        "CASE WHEN alive",
        ("redis_flushed",),
        ("a job runs after its parents",),
        seconds=30,
    ),
)
