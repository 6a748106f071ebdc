"""The law of fairness finds the jobs that waited for others although their tenant wanted nothing else."""

from faults.fairness import Wait, unfair_waits


def wait(number: int, tenant: int, due_s: float, started_s: float) -> Wait:
    return Wait(f"job-{number}", tenant, "default", due_s, started_s)


FLOOD = [wait(n, 1, 0.0, n * 0.01) for n in range(1, 1_000)]


def test_a_single_job_that_waited_for_the_end_of_a_flood_is_found() -> None:
    assert list(unfair_waits([*FLOOD, wait(0, 2, 1.0, 9.0)], 1.0)) == [
        "job-0, the only waiting job of tenant 2 in 'default', waited for 8.00 s"
    ]


def test_single_jobs_that_are_served_at_once_and_the_flood_itself_are_fair() -> None:
    assert list(unfair_waits([*FLOOD, *(wait(n, 2, float(n), n + 0.2) for n in range(9))], 1.0)) == []


def test_jobs_that_wait_for_others_of_their_tenant_are_not_judged() -> None:
    assert list(unfair_waits([wait(1, 2, 0.0, 0.5), wait(2, 2, 0.4, 3.0), wait(3, 2, 0.41, 3.1)], 1.0)) == []


def test_a_wait_during_a_fault_is_not_judged() -> None:
    assert list(unfair_waits([wait(1, 2, 1.0, 9.0)], 1.0, [(5.0, 6.0)])) == []
    assert len(list(unfair_waits([wait(1, 2, 1.0, 9.0)], 1.0, [(10.0, 16.0)]))) == 1


def test_each_queue_and_each_tenant_is_judged_by_itself() -> None:
    other = Wait("other", 2, "slow", 0.0, 5.0)
    assert len(list(unfair_waits([other, wait(1, 2, 0.0, 0.1), wait(2, 3, 0.0, 4.0)], 1.0))) == 2
