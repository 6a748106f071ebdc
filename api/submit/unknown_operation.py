"""The sentence about an operation that nobody knows: names like it, what workers know, and how it becomes known."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from common.store.operations.sightings import SeenWorkers

MAX_NAMES = 20  # of a list in the sentence
MAX_SIMILAR = 3
MAX_COMPARED = 50  # known names that are compared with the unknown one: a millisecond, with hostile names 17
SHARED_CHARACTERS = 3  # by whose equality names are preferred for the comparison
MAX_NAME_CHARACTERS = 64  # a longer name is no operation's
HOW = "An operation becomes known when a worker starts that has its package installed (docs/howto/operations.md)."
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


def reason(name: str, known: Sequence[str], workers: SeenWorkers) -> str:
    """Return why a submission for `name` is refused, without that name: a client may have sent anything."""
    similar = _similar(name.lower(), known) if len(name) <= MAX_NAME_CHARACTERS else []
    parts = ["unknown operation"]
    if similar:
        parts.append(f"similar: {', '.join(similar)}")
    parts.append(f"known ones: {_listed(known)}" if known else "none is known")
    return f"{'; '.join(parts)}. {_workers(workers, known)} {HOW}"


def _similar(name: str, known: Sequence[str]) -> list[str]:
    begin = name[:SHARED_CHARACTERS]
    candidates = sorted(known, key=lambda other: not other.startswith(begin))[:MAX_COMPARED]  # stable: by name
    return get_close_matches(name, candidates, MAX_SIMILAR)


def _workers(workers: SeenWorkers, known: Collection[str]) -> str:
    if workers.live:
        count = f"{workers.live} worker process{'es are' if workers.live > 1 else ' is'} alive and know"
        s = "" if workers.live > 1 else "s"
        return f"{count}{s} {'all of these' if set(known) <= set(workers.operations) else _listed(workers.operations)}."
    if workers.last_seen_s is None:
        return "No worker has been seen yet."
    return f"No worker is alive; the last one was seen {_age(workers.last_seen_s)} ago."


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(names[:MAX_NAMES])
    return listed if len(names) <= MAX_NAMES else f"{listed} and {len(names) - MAX_NAMES} more"


def _age(seconds: float) -> str:
    """Return a time in its largest unit of which there are two."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
    return f"{seconds / size:.0f} {unit}"
