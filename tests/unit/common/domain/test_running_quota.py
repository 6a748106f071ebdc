"""The quota of running jobs in one worker process: what it may claim between two counts."""

from common.domain.tenancy.running_quota import RunningJobs


def test_free_places_are_divided_between_the_processes_and_rounded_up() -> None:
    running = RunningJobs()
    running.counted = 3
    assert [running.places(10, processes) for processes in (1, 2, 3, 7, 100)] == [7, 4, 3, 1, 1]
    assert running.places(3, 2) == running.places(2, 2) == running.places(0, 2) == 0


def test_what_it_has_claimed_takes_its_places_and_what_has_ended_gives_them_back_at_once() -> None:
    running = RunningJobs()
    running.claimed(1.0, 5)
    assert running.places(10, 2) == 0
    for _ in range(5):
        running.ended()
    assert running.places(10, 2) == 5
    running.settled(2.0)
    assert running.places(10, 2) == 5


def test_a_place_that_it_frees_is_its_own_until_the_next_count() -> None:
    running = RunningJobs()
    running.counted = 10
    running.ended()
    assert running.places(10, 100) == 1
    running.claimed(1.1, 1)
    running.settled(1.1)
    assert running.places(10, 100) == 0


def test_a_count_replaces_what_was_changed_before_it_and_not_what_was_changed_after_it() -> None:
    running = RunningJobs()
    running.claimed(1.0, 4)
    running.ended()
    running.settled(2.0)
    running.claimed(3.0, 2)
    running.counted = 3
    running.forget_before(2.5)
    assert running.places(10, 1) == 10 - 3 - 2


def test_a_count_before_the_settle_has_seen_the_jobs_that_have_ended() -> None:
    running = RunningJobs()
    running.claimed(1.0, 4)
    for _ in range(4):
        running.ended()
    running.counted = 4
    running.forget_before(1.5)
    assert running.places(4, 1) == 4
    running.settled(2.0)
    assert running.places(4, 1) == 4


def test_a_tenant_beyond_its_quota_gets_no_place_for_one_that_ends() -> None:
    running = RunningJobs()
    running.counted = 12
    running.ended()
    running.ended()
    assert running.places(10, 1) == 0
    running.ended()
    assert running.places(10, 1) == 1
