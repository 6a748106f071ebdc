"""What sessions do, as hypothesis draws it: a verb with its arguments."""

from typing import Any

from hypothesis import strategies as st

Doing = tuple[str, dict[str, Any]]
QUEUES = ("default", "default", "default", "slow")
HOW = ["settle", "settle", "release", "error", "error", "later", "permanent", "timeout", "progress", "progress"]

processes, apis = st.sampled_from(["one", "two"]), st.sampled_from(["api", "twin"])
picks = st.integers(0, 2**8 - 1)  #: which of what there is, by its bits or by the rest of a division
ends = st.tuples(st.booleans(), st.booleans())  #: whether whoever is waited for commits, and then whoever has waited
stale = st.sampled_from([False, False, False, True])  #: as somebody who has not heard of anything yet
CLAIM = {"name": processes, "queue": st.sampled_from(QUEUES), "wanted": st.sampled_from([1, 2, 3, 20]), "stale": stale}
BATCH = {"which": picks, "stale": stale}
#: What is done in a session, with its arguments.
VERBS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "submit": {
        "name": apis,
        "count": st.integers(1, 3),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([0, 5, 5, 9]),
        "most": st.integers(1, 3),
        "late_s": st.sampled_from([0, 0, 0.3, 5, 70]),
    },
    "submit_again": {"name": apis, "which": picks, "how": ends},
    "cancel": {"name": apis, "which": picks, "how": ends},
    "rerun": {"name": apis, "which": picks, "text": st.sampled_from([None, '{"data":[2]}', '{"data":[3]}']), "how": ends},
    "claim": CLAIM,
    "settle_and_claim": CLAIM | BATCH | {"how": ends},
    "finish": BATCH | {"name": st.sampled_from(["own", "own", "parent"]), "whose": processes, "what": st.sampled_from(HOW), "how": ends},
    "renew": {"whose": processes, "how": ends, "expires": st.sampled_from([False, False, True])},
    "die": {"whose": processes, "ran": picks, "how": ends},
    "rescue": {"name": st.sampled_from(["controller", "controller", "parent"]), "leftovers": st.booleans(), "expires": st.booleans()},
    "float_strays": {"full": st.booleans()},
}
#: What happens without a session.
EVENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "begin": {"name": st.sampled_from(["one", "two", "parent", "controller", "api"])},
    "end": {"which": picks, "commits": st.booleans()},
    "expire": {"which": picks},
    "register": {"whose": processes},
    "let_delays_end": {"which": picks},
    "ask_what_is_settled": BATCH | {"whose": processes},
}
OFTEN = ["claim", "claim", "claim", "finish", "finish", "finish", "settle_and_claim", "rescue", "renew"]


def _doing(*names: str) -> st.SearchStrategy[Doing]:
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), st.fixed_dictionaries((VERBS | EVENTS)[name])))


verbs, anything = _doing(*VERBS, *OFTEN), _doing(*VERBS, *EVENTS, *OFTEN)


def session_of(doing: Doing) -> str:
    """Return the session in which something is done."""
    verb, arguments = doing
    if verb in {"renew", "die"}:
        return "parent"
    name = str(arguments.get("name", "controller"))
    return str(arguments["whose"]) if name == "own" else name
