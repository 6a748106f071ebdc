"""The laws of tenants and keys do not judge where the product promises nothing."""

from dataclasses import replace

from faults.evidence import Evidence, PastFault
from faults.history import Answer
from faults.laws import check
from unit.faults.good_run import D, at, intrusion, listing, of_second_tenant, with_calls, with_outcome


def violations(law: str, run: Evidence) -> list[str]:
    return check(run)[law].violations


def test_a_key_that_has_just_ended_may_be_accepted_or_refused() -> None:
    for status in (200, 401):
        run = with_calls(listing("rotated", 12.0, status))
        assert not violations("a_valid_key_is_accepted", run) + violations("an_ended_key_is_refused", run)


def test_an_ended_key_may_go_on_while_no_process_can_read_that_it_has_ended() -> None:
    run = with_calls(listing("rotated", 14.0, 200))
    assert not violations("an_ended_key_is_refused", replace(run, outages=[(8.0, 10.0)]))
    assert violations("an_ended_key_is_refused", replace(run, outages=[(8.0, 8.9)])), "five seconds later it may not"
    assert violations("an_ended_key_is_refused", replace(run, outages=[(1.0, 8.1)])), "it ended afterwards"


def test_a_wrong_clock_moves_the_end_of_a_rotated_key() -> None:
    early, late = with_calls(listing("rotated", 7.0, 401)), with_calls(listing("rotated", 14.0, 200))
    for law, run in (("a_valid_key_is_accepted", early), ("an_ended_key_is_refused", late)):
        assert not violations(law, replace(run, faults=[PastFault("clock_wrong", 6.0, 6.5)]))
        assert violations(law, replace(run, faults=[PastFault("clock_wrong", 4.0, 4.5)]))
        assert violations(law, replace(run, faults=[PastFault("api_killed", 6.0, 6.5)]))


def test_an_intrusion_whose_answer_was_lost_tells_nothing() -> None:
    assert not violations("tenants_are_kept_apart", with_calls(replace(intrusion(503), answer=Answer.UNKNOWN)))


def test_a_wait_during_a_fault_of_workers_is_not_judged() -> None:
    run = of_second_tenant(D, with_outcome(D, 0, started_at=at(2.1)))
    at_1_s = at(1.0).timestamp()
    assert not violations("a_flood_delays_nobody_else", replace(run, disturbed=[(at_1_s, at_1_s + 0.5)]))
