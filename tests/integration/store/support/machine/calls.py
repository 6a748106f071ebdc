"""Calls of sessions as Hypothesis draws them: a method of the machine with its arguments."""

from typing import Any

from hypothesis import strategies as st

Call = tuple[str, dict[str, Any]]
Commits = tuple[bool, bool]  #: if the session that blocks commits, and if the session that was blocked then does
QUEUES = ("default", "default", "default", "slow")
#: How attempts end; `progress` does not end them.
ENDINGS = ["settle", "settle", "release", "error", "error", "later", "permanent", "timeout", "progress", "progress"]

processes, apis = st.sampled_from(["one", "two"]), st.sampled_from(["api", "twin"])
selectors = st.integers(0, 2**8 - 1)  #: selects among what exists: by its bits, or by the remainder of a division
commit_pairs = st.tuples(st.booleans(), st.booleans())
stale = st.sampled_from([False, False, False, True])  #: True: the session does not know what changed meanwhile
CLAIM = {
    "session": processes,
    "queue": st.sampled_from(QUEUES),
    "limit": st.sampled_from([1, 2, 3, 20]),
    "stale": stale,
}
BATCH = {"selector": selectors, "stale": stale}
#: Calls that run in a session, with their arguments.
SESSION_CALLS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "submit": {
        "session": apis,
        "count": st.integers(1, 3),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([0, 5, 5, 9]),
        "max_attempts": st.integers(1, 3),
        "late_s": st.sampled_from([0, 0, 0.3, 5, 70]),
    },
    "submit_keyed": {
        "session": apis,
        "count": st.integers(1, 4),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([0, 5, 5, 9]),
        "key": st.sampled_from(["a", "b"]),
    },
    "submit_again": {"session": apis, "selector": selectors, "commits": commit_pairs},
    "cancel": {"session": apis, "selector": selectors, "commits": commit_pairs},
    "retry": {
        "session": apis,
        "selector": selectors,
        "new_input": st.sampled_from([None, '{"data":[2]}', '{"data":[3]}']),
        "commits": commit_pairs,
    },
    "claim": CLAIM,
    "take": BATCH | {"session": processes},
    "wake": {"session": st.sampled_from(["one", "two", "controller"]), "in_turn": st.booleans()},
    "settle_and_claim": CLAIM | BATCH | {"commits": commit_pairs},
    "finish": BATCH
    | {
        "session": st.sampled_from(["own", "own", "parent"]),
        "process": processes,
        "ending": st.sampled_from(ENDINGS),
        "commits": commit_pairs,
    },
    "renew": {"process": processes, "commits": commit_pairs, "expires": st.sampled_from([False, False, True])},
    "crash": {"process": processes, "running": selectors, "commits": commit_pairs},
    "rescue": {
        "session": st.sampled_from(["controller", "controller", "parent"]),
        "orphans": st.booleans(),
        "expires": st.booleans(),
    },
    "requeue_strays": {"full": st.booleans()},
}
#: Calls that run outside of any session.
EVENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "begin": {"session": st.sampled_from(["one", "two", "parent", "controller", "api"])},
    "end": {"selector": selectors, "commits": st.booleans()},
    "expire": {"selector": selectors},
    "register": {"process": processes},
    "end_delays": {"selector": selectors},
    "check_settled_before": BATCH | {"process": processes},
}
FREQUENT = [
    "claim",
    "claim",
    "claim",
    "submit_keyed",
    "take",
    "finish",
    "finish",
    "finish",
    "settle_and_claim",
    "rescue",
    "renew",
]


def _call(*names: str) -> st.SearchStrategy[Call]:
    return st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries((SESSION_CALLS | EVENTS)[name]))
    )


session_calls, all_calls = _call(*SESSION_CALLS, *FREQUENT), _call(*SESSION_CALLS, *EVENTS, *FREQUENT)


def session_of(call: Call) -> str:
    """Return the name of the session in which a call runs."""
    method, arguments = call
    if method in {"renew", "crash"}:
        return "parent"
    session = str(arguments.get("session", "controller"))
    return str(arguments["process"]) if session == "own" else session
