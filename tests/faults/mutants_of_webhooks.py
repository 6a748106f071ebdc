"""Mutants of webhooks."""

from faults.mutant import Mutant

MUTANTS = (
    Mutant(
        "the id of a delivery is not made of its run",
        "common/store/webhooks/deliveries.py",
        "int8send(({number})::bigint)",
        "int8send(0 * ({number})::bigint)",
        ("redis_flushed",),
        ("each end is told of once",),
        seconds=30,
    ),
    Mutant(
        "the id of a delivery is made of its time",
        "common/store/webhooks/deliveries.py",
        "'{kind}'::bytea), 'hex')",
        "clock_timestamp()::text::bytea || '{kind}'::bytea), 'hex')",
        ("redis_flushed",),
        ("each end is told of once",),
    ),
    Mutant(
        "ends without a settle are not looked for",
        "worker/controller/__main__.py",
        'self._run_task("webhooks", lambda: self._webhooks.run(connection))',
        "pass",
        ("worker_killed",),
        ("each end is told of once",),
    ),
)
