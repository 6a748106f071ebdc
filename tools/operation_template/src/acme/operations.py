"""The operations of acme. Import those of other modules here: workers look for them in this module."""

import logging

from jobproc import operation

log = logging.getLogger(__name__)


@operation(name="acme.greet", queue="acme", max_attempts=2, base_seconds=1)
def greet(name: str) -> str:
    """Greet someone by name."""
    log.info("greeting %r", name)
    initial = name[0].upper()
    return f"Hello, {initial}{name[1:]}!"
