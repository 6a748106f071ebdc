"""The reasons of policies for which a job waits."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

#: Codes.
PAUSED, CONCURRENCY, RATE, KEY = "queue_paused", "queue_concurrency", "queue_rate", "key_limit"


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
        if policy["parked"] and policy["concurrency_key"] is not None:
            yield KEY, _of_key(policy), None


def _of_key(policy: Mapping[str, Any]) -> str:
    """Return why a job is parked for its concurrency key."""
    if policy["key_concurrency"] is not None and policy["holders"] >= policy["key_concurrency"]:
        text = f"and {policy['holders']} with it run; the limit is {policy['key_concurrency']}."
    elif policy["key_rate"] is not None:
        text = f"of which {policy['key_rate']:g} start a second."
    else:
        text = "which are woken in turn."
    return f"Other jobs with its concurrency key {policy['concurrency_key']!r} are before it, {text}"
