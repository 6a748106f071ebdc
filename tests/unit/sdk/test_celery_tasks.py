"""Tasks of `jobproc.celery` without a server: options, retries, limits, inputs, and what is refused by a sentence."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobproc import DeclarationError, celery, testing
from jobproc.celery import NotMapped, Signature, chain, chord, group, shared_task, signature
from jobproc.celery.attempts import backoff_s
from jobproc.celery.options import operation_name, submission_options
from jobproc.celery.plans import Plan
from jobproc.operations import registered

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    before = dict(registered)
    yield
    registered.clear()
    registered.update(before)


def run(task: Any, job_input: object = None, **options: Any) -> Any:
    """Run one attempt; its outcome has the members that the test expects, or the test fails."""
    return testing.run(task, job_input, **options)


def mapped(**options: Any) -> dict[str, Any]:
    return submission_options(options, zero_is_first=False, now=lambda: NOW)


def test_the_options_of_celery_become_those_of_a_submission() -> None:
    assert mapped(countdown=5, expires=60) == {"delay_seconds": 5, "deadline": NOW + timedelta(seconds=60)}
    assert mapped(eta=datetime(2026, 12, 1)) == {"run_at": datetime(2026, 12, 1, tzinfo=UTC)}  # noqa: DTZ001 - as Celery takes it
    assert mapped(eta="2026-12-01T00:00:00+01:00")["run_at"].utcoffset() == timedelta(hours=1)
    assert mapped(expires=NOW) == {"deadline": NOW}
    assert mapped(task_id="a", time_limit=3, tags=["x"]) == {
        "idempotency_key": "a",
        "timeout_seconds": 3,
        "tags": ["x"],
    }
    assert mapped(queue="mail") == {"queue": "mail"}
    assert mapped(queue="celery", retry=True, retry_policy={}, serializer="json", link=None) == {}


def test_priorities_have_two_orders() -> None:
    assert [mapped(priority=given)["priority"] for given in (0, 9)] == [9, 0]
    assert submission_options({"priority": 0}, zero_is_first=True) == {"priority": 0}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"priority": 10}, "priority: 0 to 9 is expected, not 10"),
        ({"priority": True}, "priority: 0 to 9"),
        ({"countdown": 1, "eta": NOW}, "only one of them"),
        ({"eta": 5}, "a time is expected, not 5"),
        ({"serializer": "pickle"}, "arguments are JSON, not pickle"),
        ({"link": "x"}, "link: a job has none; submit a chain"),
        ({"soft_time_limit": 3}, "give it to the decorator"),
        ({"colour": 3}, "colour: a job has none; jobproc has no such option"),
    ],
)
def test_what_a_job_has_not_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotMapped, match=sentence):
        mapped(**options)


def test_names_of_tasks_become_names_of_operations() -> None:
    assert operation_name("shop.tasks.sendMail") == "shop.tasks.sendmail"
    long = operation_name(f"{'a' * 80}.send")
    assert len(long) == 64
    assert long != operation_name(f"{'b' * 80}.send")
    assert ".send." in long


def test_a_task_is_an_operation_and_a_function() -> None:
    @shared_task(bind=True, name="unit.facts", ignore_result=False)
    def facts(self: Any, first: int, *, second: int = 2) -> list[Any]:
        """Return what the task knows."""
        return [first, second, self.request.id, self.request.retries, self.request.kwargs, self.name]

    assert facts(1) == [1, 2, None, 0, {}, "unit.facts"]
    found = run(facts, {"args": [1], "kwargs": {"second": 5}}, attempt=3, job_id="an id")
    assert found.result == [1, 5, "an id", 2, {"second": 5}, "unit.facts"]
    assert run("unit.facts", {"args": "1"}).error_type == "invalid_input"
    assert run("unit.facts", {"other": []}).error_type == "invalid_input"
    assert registered["unit.facts"].description == "Return what the task knows."
    assert registered["unit.facts"].options.max_attempts == 4


def test_an_exception_ends_the_job_unless_the_task_asks_for_a_retry() -> None:
    @shared_task(bind=True, name="unit.retry", max_retries=2, default_retry_delay=7)
    def retry(self: Any, how: dict[str, Any]) -> None:
        self.retry(**how)

    @shared_task(name="unit.fail")
    def fail() -> None:
        raise OSError("down")

    assert run(fail).permanent
    assert run(retry, {"args": [{}]}).after_seconds == 7
    assert run(retry, {"args": [{"countdown": 3}]}).after_seconds == 3
    assert run(retry, {"args": [{}]}, attempt=3).error_type == "MaxRetriesExceededError"
    assert run(retry, {"args": [{"max_retries": 0}]}).error_type == "MaxRetriesExceededError"
    for wrong, sentence in (
        ({"args": [1]}, "the arguments of the job"),
        ({"countdown": 90_000}, "at most 86400"),
        ({"max_retries": 9}, "more than that of its decorator"),
    ):
        outcome = run(retry, {"args": [wrong]})
        assert (outcome.error_type, outcome.permanent) == ("NotMapped", True)
        assert sentence in outcome.error_text
    with pytest.raises(celery.Retry):
        retry({})


def test_autoretry_backs_off() -> None:
    @shared_task(autoretry_for=(OSError,), dont_autoretry_for=(TimeoutError,), retry_backoff=3, name="unit.auto")
    def auto(kind: str) -> None:
        raise {"os": OSError, "timeout": TimeoutError, "value": ValueError}[kind](kind)

    outcome = run(auto, {"args": ["os"]}, attempt=3)
    assert 0 <= outcome.after_seconds <= 12
    assert run(auto, {"args": ["timeout"]}).permanent
    assert run(auto, {"args": ["value"]}).permanent
    assert run(auto, {"args": ["os"]}, attempt=4).error_type == "OSError"
    assert backoff_s(3, 2, 600, jitter=False) == 16
    assert backoff_s(90, 2, 600, jitter=True, chance=lambda: 0.5) == 300


def test_a_soft_time_limit_is_raised_in_the_task() -> None:
    @shared_task(soft_time_limit=0.05, name="unit.slow")
    def slow(handled: bool) -> str:
        try:
            time.sleep(20)
        except celery.SoftTimeLimitExceeded:
            if not handled:
                raise
        return "half"

    assert run(slow, {"args": [True]}).result == "half"
    assert run(slow, {"args": [False]}).error_type == "SoftTimeLimitExceeded"


def test_progress_has_the_state_the_fraction_and_the_meta_data() -> None:
    @shared_task(bind=True, ignore_result=True, name="unit.progress")
    def progress(self: Any) -> int:
        self.update_state(state="PROGRESS", meta={"current": 3, "total": 4})
        with pytest.raises(NotMapped):
            self.update_state(task_id="another", state="PROGRESS")
        return 3

    outcome = run(progress)
    assert [(each.fraction, each.text) for each in outcome.progress] == [(0.75, 'PROGRESS {"current": 3, "total": 4}')]
    assert outcome.result is None


def test_results_of_parents_are_the_first_argument() -> None:
    @shared_task(name="unit.shape")
    def shape(*args: Any) -> Any:
        return args

    parents = {"a": 1, "b": [2], "c": None}
    assert run(shape, {"args": [9], "first": "a"}, parents=parents).result == [1, 9]
    assert run(shape, {"first": ["a", ["b", "c"]]}, parents=parents).result == [[1, [[2], None]]]
    assert run(shape, {"first": []}).result == [[]]


def planned(step: celery.signatures.Step) -> list[tuple[str, Any, list[str]]]:
    plan = Plan()
    step.add_to(plan, None, [])
    return [(job["name"], job["input"].get("first"), job.get("depends_on", [])) for job in plan.jobs]


def test_a_plan_has_the_parents_of_each_step() -> None:
    a, b, c, d = (signature(name) for name in "abcd")
    assert planned(a | b | c) == [("0.a", None, []), ("1.b", "0.a", ["0.a"]), ("2.c", "1.b", ["1.b"])]
    assert planned(chain(a, signature("b", immutable=True))) == [("0.a", None, []), ("1.b", None, ["0.a"])]
    assert planned(chord([a, b], c)) == [("0.a", None, []), ("1.b", None, []), ("2.c", ["0.a", "1.b"], ["0.a", "1.b"])]
    assert planned(a | group(b, c) | d)[-1] == ("3.d", ["1.b", "2.c"], ["1.b", "2.c"])
    assert planned(a | group([]) | d)[-1] == ("1.d", [], ["0.a"]), "the order is kept where a group is empty"
    nested = planned(chord([group(a, b), chain(c, d)], signature("e")))
    assert nested[-1] == ("4.e", [["0.a", "1.b"], "3.d"], ["0.a", "1.b", "3.d"])


def test_signatures_take_further_arguments() -> None:
    call = Signature("a", (2,), {"x": 1}, {"priority": 3})
    more = call.clone((1,), {"x": 2}, queue="mail")
    assert (more.args, more.kwargs, more.options) == ((1, 2), {"x": 2}, {"priority": 3, "queue": "mail"})
    assert Signature("a", (2,), immutable=True).clone((1,)).args == (2,)
    assert repr(group(call, call | call)) == "group(a(2, x=1), a(2, x=1) | a(2, x=1))"
    for wrong in (lambda: chain("a"), lambda: group(3), call):  # type: ignore[arg-type]  # the mistakes of callers
        with pytest.raises((NotMapped, TypeError)):
            wrong()
    with pytest.raises(NotMapped, match="give them to its tasks"):
        chord([call], call).apply_async(countdown=3)
    with pytest.raises(NotMapped, match="a chain needs a step"):
        planned(chain())


def test_a_declaration_that_cannot_work_is_refused() -> None:
    with pytest.raises(NotMapped, match=r"rate_limit of the task unit.rate: set the rate of the queue"):
        shared_task(name="unit.rate", rate_limit="10/m")(print_nothing)
    with pytest.raises(NotMapped, match="jobproc has no such option"):
        shared_task(name="unit.other", colour="red")(print_nothing)

    async def later() -> None:
        """Do nothing."""

    with pytest.raises(DeclarationError, match=r"declare it with @jobproc.operation"):
        shared_task(later)
    shared_task(name="unit.Twice")(print_nothing)
    with pytest.raises(DeclarationError, match="two tasks have the operation"):
        shared_task(name="unit.twice")(print_nothing)


def test_neither_celery_nor_a_client_is_imported_before_it_is_used() -> None:
    names = ("celery", "kombu", "httpx2", "jobproc.client")
    code = f"import sys, jobproc.celery; print([name for name in {names!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def print_nothing() -> None:
    """Do nothing."""
