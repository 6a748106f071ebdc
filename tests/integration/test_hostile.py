"""Ten seconds of hostile requests and messages by a fixed seed, then the laws. `make hostile` sends more."""

from faults.laws import report
from hostile import laws, run
from rig.system import System

SEED, SECONDS, REQUESTS = 19, 10.0, 1_200


def test_no_law_is_broken_by_hostile_requests_and_messages(system: System) -> None:
    with run.started(system) as callers:
        verdicts = run.Run(system, callers, SEED).execute(SECONDS, REQUESTS)
    assert set(verdicts) == {law.__name__ for law in laws.LAWS}
    assert not run.is_broken(verdicts), report(verdicts)
