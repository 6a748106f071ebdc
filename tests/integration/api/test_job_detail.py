"""GET /jobs/{id}: options, attempts, timeline and links of a job."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from rig.system import System

OPTIONS: dict[str, Any] = {
    "priority": 2,
    "delay_seconds": 3_600,
    "timeout_seconds": 12.5,
    "max_attempts": 7,
    "backoff": {"base_seconds": 1.5, "cap_seconds": 60},
    "tags": ["nightly", "blue"],
    "metadata": {"ticket": 12345678901234567890123, "nested": {"a": [1.0, None]}},
    "keep_seconds": 86_400,
}


def submit(system: System, **options: Any) -> str:
    response = system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **options})
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def test_every_option_of_the_submission_is_shown(system: System) -> None:
    system.api()
    sent = OPTIONS | {"deadline": _soon(system)}
    job = system.job(submit(system, **sent))
    assert {name: job[name] for name in ("priority", "tags", "metadata", "max_attempts", "backoff")} == {
        name: sent[name] for name in ("priority", "tags", "metadata", "max_attempts", "backoff")
    }
    assert (job["timeout_seconds"], job["keep_seconds"], job["version"]) == (12.5, 86_400, 1)
    assert job["deadline"] == sent["deadline"]
    assert job["run_at"] == job["due_at"]
    assert (datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds() > 3_599
    assert [(entry["status"], entry["run"]) for entry in job["timeline"]] == [("SCHEDULED", 0)]
    assert job["status"] == "SCHEDULED"


def _soon(system: System) -> str:
    return str(
        system.database.value(
            "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '10 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        )
    )


def test_options_that_were_not_given_are_null(system: System) -> None:
    system.api()
    job = system.job(submit(system))
    assert [
        job[name]
        for name in (
            "run_at",
            "deadline",
            "backoff",
            "keep_seconds",
            "unique",
            "metadata",
            "worker",
            "progress",
            "webhook",
        )
    ] == [None] * 9
    assert (job["tags"], job["runs"], job["cancel_requested"], job["run"]) == ([], [], False, 0)
    assert [entry["status"] for entry in job["timeline"]] == ["PENDING"]


def test_states_and_attempts_are_shown_with_their_resource_usage(system: System) -> None:
    system.all()
    job = system.wait(system.submit("fail_times", 2))
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["error", "error", "success"]
    states = [entry["status"] for entry in job["timeline"]]
    assert [state for state in states if state != "PENDING"] == [
        "IN_PROGRESS",
        "RETRYING",
        "IN_PROGRESS",
        "RETRYING",
        "IN_PROGRESS",
        "SUCCESS",
    ]
    times = [datetime.fromisoformat(entry["at"]) for entry in job["timeline"]]
    assert times == sorted(times)
    assert [entry["attempt"] for entry in job["timeline"] if entry["status"] == "IN_PROGRESS"] == [
        attempt["attempt"] for attempt in job["attempts"]
    ]
    for attempt in job["attempts"]:
        took = attempt["took"]
        whole_s = (
            datetime.fromisoformat(attempt["finished_at"]) - datetime.fromisoformat(attempt["started_at"])
        ).total_seconds()
        assert 0 <= took["execution_seconds"] <= whole_s + 0.001
        assert abs(took["execution_seconds"] + took["overhead_seconds"] - whole_s) < 0.001
        assert took["cpu_seconds"] >= 0
        assert took["peak_memory_mebibytes"] > 1
    failed = [entry for entry in job["timeline"] if entry["error"] is not None]
    errors = [attempt["error"] for attempt in job["attempts"] if attempt["error"] is not None]
    assert all(error.pop("traceback") for error in errors), "not in the timeline too"
    assert [entry["error"] for entry in failed] == errors


def test_a_manual_retry_is_shown_with_its_input(system: System) -> None:
    system.all()
    job_id = system.submit("fail_for_good", 1)
    system.wait(job_id)
    system.database.rows(
        """WITH again AS (INSERT INTO runs (id, run, input) SELECT id, 1, '{"data": [2.50]}' FROM outcomes)
           INSERT INTO live (id, claimable_at, rev, attempt, max_attempts, run, queue, needs)
           SELECT id, now(), rev + 1, attempt, attempt + 1, 1, 'default', 'fail_for_good' FROM outcomes"""
    )
    job = system.wait(job_id)
    assert [(entry["run"], entry["status"]) for entry in job["timeline"]] == [
        (run_number, state) for run_number in (0, 1) for state in ("PENDING", "IN_PROGRESS", "FAILED")
    ]
    assert [(run["run"], run["input"]) for run in job["runs"]] == [(1, {"data": [2.5]})]
    assert job["input"] == {"data": [1.0]}
    assert [attempt["run"] for attempt in job["attempts"]] == [0, 1]


def test_the_unique_key_and_a_requested_cancel_are_shown(system: System) -> None:
    """Other processes store both; this test writes the rows itself."""
    system.api()
    job_id = submit(system)
    system.database.rows("UPDATE jobs SET unique_key = 'a', unique_while = 'both'")
    system.database.rows(
        "UPDATE live SET worker = 7, attempt = 1, started_at = now(), cancel_requested = true, rev = rev + 1"
    )
    job = system.job(job_id)
    assert job["unique"] == {"key": "a", "while": "both"}
    assert (job["worker"], job["cancel_requested"], job["status"]) == (7, True, "IN_PROGRESS")
    assert job["timeline"][-1] | {"at": None} == {
        "at": None,
        "status": "IN_PROGRESS",
        "run": 0,
        "attempt": 1,
        "worker": 7,
        "error": None,
    }


def test_the_links_of_a_job_work(system: System) -> None:
    system.api()
    job_id = submit(system)
    links = system.job(job_id)["links"]
    assert links == {
        "self": f"/jobs/{job_id}",
        **{
            name: f"/jobs/{job_id}/{name}"
            for name in ("status", "result", "input", "cancel", "retry", "events", "logs", "explain")
        },
    }
    assert [system.client.get(links[name]).status_code for name in ("self", "status", "result", "input", "logs")] == [
        200
    ] * 5


def test_only_the_last_hundred_attempts_are_shown(system: System) -> None:
    system.api()
    job_id = submit(system)
    system.database.rows(
        """INSERT INTO attempts (
               id, run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type, error_text
           )
           SELECT id, 0, n, 1, created_at + n * interval '1 s', created_at + n * interval '1 s',
               created_at + n * interval '1 s', 'error', 'x', 'y'
           FROM jobs, generate_series(1, 150) n"""
    )
    job = system.job(job_id)
    assert [attempt["attempt"] for attempt in job["attempts"]] == list(range(51, 151))
    assert len(job["timeline"]) == 201
    assert json.dumps(job["timeline"]).count('"IN_PROGRESS"') == 100


def stored_text(system: System, path: str) -> str:
    """Return the text of the member `input` of a response."""
    text = system.client.get(path).text
    return text[text.index('"input":') + len('"input":') : text.index(',"input_')]


def test_stored_json_is_shown_as_it_is_stored(system: System) -> None:
    """As text: numbers that no double holds, white space and the order of members stay."""
    system.api()
    text = '{"b": [1.50, 1e400,\n12345678901234567890123], "a": "\\u00e9\\ud83d"}'
    job_id = submit(system)
    system.database.rows("UPDATE jobs SET input = %s, metadata = %s", (text, text))
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/input"):
        assert stored_text(system, path) == text
    assert f'"metadata":{text}' in system.client.get(f"/jobs/{job_id}").text


def test_large_inputs_and_results_are_omitted_and_linked(system: System) -> None:
    system.api(JOBPROC_JOB_INLINE_BYTES="100")
    job_id = submit(system)
    small, large = f'"{"x" * 98}"', f'"{"x" * 99}"'
    system.database.rows("UPDATE jobs SET input = %s", (large,))
    system.database.rows(
        """INSERT INTO runs (id, run, input) SELECT id, n, CASE n WHEN 1 THEN %s::json WHEN 3 THEN %s::json END
           FROM jobs, generate_series(1, 4) n""",
        (small, large),
    )
    system.database.rows(
        """WITH ended AS (DELETE FROM live RETURNING id)
           INSERT INTO outcomes (id, run, attempt, released, rev, status, result)
           SELECT id, 4, 0, 0, 1, 'SUCCESS', %s FROM ended""",
        (large,),
    )
    job = system.job(job_id)
    assert (job["input"], job["input_omitted"], job["input_removed"]) == (None, True, False)
    assert (job["result"], job["result_omitted"]) == (None, True)
    assert [(run["input"], run["input_omitted"]) for run in job["runs"]] == [
        (json.loads(small), False),
        (None, False),
        (None, True),
        (None, False),
    ]
    assert system.client.get(job["links"]["result"]).json()["result"] == json.loads(large)
    for path, run, text in (
        (job["links"]["input"], 4, large),
        (f"/jobs/{job_id}/input?run=0", 0, large),
        *((shown["links"]["input"], shown["run"], small if shown["run"] < 3 else large) for shown in job["runs"]),
    ):
        assert system.client.get(path).json() == {
            "job_id": job_id,
            "run": run,
            "input": json.loads(text),
            "input_removed": False,
        }
    system.database.rows("UPDATE jobs SET input = %s", (small,))
    job = system.job(job_id)
    assert (job["input"], job["input_omitted"]) == (json.loads(small), False)


def test_the_input_of_a_run_that_is_not_there_is_a_problem(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api()
    job_id = submit(system)
    problem = assert_problem(system.client.get(f"/jobs/{job_id}/input?run=1"), 422, "invalid-parameter")
    assert problem["errors"] == [{"field": "run", "reason": "the number of a run, 0 to 0, is expected"}]
    for run in ("-1", "x", "99999"):
        assert_problem(system.client.get(f"/jobs/{job_id}/input?run={run}"), 422, "invalid-parameter")
    assert_problem(system.client.get(f"/jobs/{uuid.uuid4()}/input"), 404, "job-not-found")


def test_a_removed_input_is_null_and_has_another_etag(system: System) -> None:
    system.api()
    job_id = submit(system)
    tags = {path: system.client.get(path).headers["etag"] for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/input")}
    system.database.rows("UPDATE jobs SET input = NULL")
    for path, tag in tags.items():
        response = system.client.get(path, headers={"If-None-Match": tag})
        body = response.json()
        assert (response.status_code, body["input"], body["input_removed"]) == (200, None, True)
    assert system.job(job_id)["input_omitted"] is False


def test_long_error_texts_of_older_attempts_are_cut(system: System) -> None:
    system.api(JOBPROC_JOB_INLINE_BYTES="1000")
    job_id = submit(system)
    system.database.rows(
        """INSERT INTO attempts (
               id, run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type, error_text
           )
           SELECT id, 0, n, 1, created_at, created_at, created_at, 'error', 'x', repeat('y', 900)
           FROM jobs, generate_series(1, 8) n"""
    )
    job = system.job(job_id)
    lengths = [200] * 4 + [900] * 4
    assert [len(attempt["error"]["text"]) for attempt in job["attempts"]] == lengths
    assert [len(entry["error"]["text"]) for entry in job["timeline"] if entry["error"]] == lengths


@pytest.mark.parametrize(
    ("characters", "shown"), [(900, [False] * 4 + [True] * 4), (5_000, [False] * 7 + [True])], ids=["long", "too long"]
)
def test_tracebacks_of_older_attempts_are_left_out(system: System, characters: int, shown: list[bool]) -> None:
    """Four times the limit of one input is shown, and the newest traceback in any case."""
    system.api(JOBPROC_JOB_INLINE_BYTES="1000")
    job_id = submit(system)
    system.database.rows(
        """INSERT INTO attempts (id, run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type,
                                 error_text, traceback)
           SELECT id, 0, n, 1, created_at, created_at, created_at, 'error', 'x', 'y', repeat('z', %s)
           FROM jobs, generate_series(1, 8) n""",
        (characters,),
    )
    tracebacks = [attempt["error"]["traceback"] for attempt in system.job(job_id)["attempts"]]
    assert tracebacks == ["z" * characters if is_shown else None for is_shown in shown]
