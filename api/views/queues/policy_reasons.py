"""The reasons of policies for which a job waits."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

PAUSED, CONCURRENCY, RATE = "queue_paused", "queue_concurrency", "queue_rate"  #: codes


def policy_reasons(policies: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, datetime | None]]:
    """Yield code, text and end of each reason; None: it is not known."""
    for policy in policies:
        whose = "The operators have" if policy["of_operators"] else "The tenant has"
        if policy["paused_at"] is not None:
            since = policy["paused_at"].isoformat(timespec="milliseconds")
            yield PAUSED, f"{whose} paused the queue since {since}.", None
        if policy["concurrency"] is not None and policy["taken"] >= policy["concurrency"]:
            text = f"{whose} limited the queue to {policy['concurrency']} jobs at once, and as many run."
            yield CONCURRENCY, text, None
        if policy["next_token_at"] is not None:
            until = policy["next_token_at"].isoformat(timespec="milliseconds")
            text = f"{whose} limited the queue to {policy['rate']:g} jobs a second; the next one may start at {until}."
            yield RATE, text, policy["next_token_at"]
