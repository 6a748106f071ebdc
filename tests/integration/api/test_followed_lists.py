"""GET /jobs/events: a page of the list of jobs as server-sent events."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from rig.event_streams import Stream, open_stream
from rig.system import System, until

from common.domain.job import new_job_id

FAST = {"JOBPROC_WAIT_POLL_SECONDS": "0.05"}


def ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["job_id"] for job in jobs]


def states(reader: Stream) -> dict[str, str]:
    """Return the newest state of each row that a client has got."""
    rows = [job for event in reader.events if event["event"] in ("page", "jobs") for job in event["data"]["jobs"]]
    return {job["job_id"]: job["status"] for job in rows}


def newer(reader: Stream) -> dict[str, Any]:
    """Return the newest event about gained jobs; empty before the first."""
    return dict((reader.data("newer") or [{}])[-1])


def test_a_stream_has_the_page_its_changed_rows_and_newer_jobs(system: System) -> None:
    system.api(**FAST)
    first, second = system.submit("square_sum", 1), system.submit("square_sum", 2)
    with open_stream(system.client, "/jobs/events?limit=2&operation=square_sum") as reader:
        assert reader.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        until("the page is there", lambda: reader.data("newer"))
        assert [event["event"] for event in reader.events] == ["hello", "page", "newer"]
        assert set(reader.data("hello")[0]) == {"version", "time"}
        listed = system.client.get("/jobs?limit=2&operation=square_sum").json()
        assert reader.data("page") == [listed]
        assert ids(listed["jobs"]) == [second, first]
        assert newer(reader) == {"count": 0, "more": False, "job_ids": []}

        third, other = system.submit("square_sum", 3), system.submit("cube_sum", 0)
        until("a newer job is told", lambda: newer(reader)["count"])
        assert newer(reader) == {"count": 1, "more": False, "job_ids": [third]}, "jobs of other filters are not"

        system.client.post(f"/jobs/{first}/cancel").raise_for_status()
        until("a changed row is sent", lambda: states(reader)[first] == "CANCELLED")
        assert reader.data("jobs")[-1] == {
            "jobs": [system.client.get("/jobs?limit=10").json()["jobs"][3]],
            "removed": [],
        }
        system.worker()
        until("all rows have their last state", lambda: states(reader) == {first: "CANCELLED", second: "SUCCESS"})
        assert system.wait(third) and system.wait(other)
        assert newer(reader)["job_ids"] == [third]

        system.database.rows("DELETE FROM outcomes WHERE id = %s; DELETE FROM jobs WHERE id = %s", (first, first))
        until("a deleted job is told", lambda: reader.data("jobs")[-1]["removed"])
        assert reader.data("jobs")[-1] == {"jobs": [], "removed": [first]}


def test_a_job_that_comes_to_match_is_newer_and_one_that_no_longer_does_stays(system: System) -> None:
    system.api(**FAST)
    older, newest = system.submit("square_sum", 1), system.submit("square_sum", 2)
    system.client.post(f"/jobs/{newest}/cancel").raise_for_status()
    with open_stream(system.client, "/jobs/events?status=CANCELLED") as reader:
        until("the page is there", lambda: reader.data("newer"))
        assert ids(reader.data("page")[0]["jobs"]) == [newest]
        system.client.post(f"/jobs/{older}/cancel").raise_for_status()
        until("it matches by now", lambda: newer(reader)["job_ids"] == [older])
        system.client.post(f"/jobs/{newest}/retry").raise_for_status()
        until("it does no longer", lambda: states(reader) == {newest: "PENDING"})


@pytest.mark.parametrize("sort", ["-created", "created", "-finished", "finished"])
def test_newer_jobs_are_those_before_the_end_of_a_full_page_in_its_order(system: System, sort: str) -> None:
    system.api(**FAST)
    jobs = [system.submit("square_sum", n) for n in range(4)]
    for job_id in jobs[1:3]:
        system.client.post(f"/jobs/{job_id}/cancel").raise_for_status()
    with open_stream(system.client, f"/jobs/events?limit=2&status=CANCELLED&sort={sort}") as reader:
        until("the page is there", lambda: reader.data("newer"))
        page = ids(reader.data("page")[0]["jobs"])
        assert page == (jobs[2:0:-1] if sort.startswith("-") else jobs[1:3])
        for job_id in (jobs[0], jobs[3]):
            system.client.post(f"/jobs/{job_id}/cancel").raise_for_status()
        # By creation one of them is before the page and one behind it; by the end both are on one side.
        expected = {"-created": [jobs[3]], "created": [jobs[0]], "-finished": [jobs[3], jobs[0]], "finished": []}[sort]
        with open_stream(system.client, f"/jobs/events?limit=4&status=CANCELLED&sort={sort}") as whole:
            until("a page of all", lambda: whole.data("newer"))
            until("the newer jobs", lambda: newer(reader).get("job_ids") == expected)
            assert len(ids(whole.data("page")[0]["jobs"])) == 4


def test_a_full_first_page_counts_new_matches_up_to_the_limit(system: System) -> None:
    system.api(**FAST, JOBPROC_LIST_STREAM_MAX_NEWER_JOBS="3")
    page = [system.submit("square_sum", n) for n in range(2)]
    with open_stream(system.client, "/jobs/events?limit=2") as reader:
        until("the page is there", lambda: reader.data("newer"))
        new = [system.submit("square_sum", n) for n in range(3)]
        until("three are newer", lambda: newer(reader)["count"] == 3)
        assert newer(reader) == {"count": 3, "more": False, "job_ids": new[::-1]}
        for n in range(9):
            system.submit("square_sum", n)
        until("there are more", lambda: newer(reader)["more"])
        assert newer(reader) == {"count": 3, "more": True, "job_ids": []}
        assert ids(reader.data("page")[0]["jobs"]) == page[::-1], "the page keeps its jobs"


def test_a_resumed_stream_goes_on_with_the_jobs_of_its_page(system: System) -> None:
    system.api(**FAST)
    page = [system.submit("square_sum", n) for n in range(3)]
    path = "/jobs/events?limit=3&status=PENDING"
    with open_stream(system.client, path) as reader:
        until("the page is there", lambda: reader.data("newer"))
        last = next(event["id"] for event in reader.events if "id" in event)
    new = system.submit("square_sum", 9)
    system.client.post(f"/jobs/{page[1]}/cancel").raise_for_status()
    system.end("api")
    system.api(**FAST)
    with open_stream(system.client, path, last) as resumed:
        until("the newer job is told", lambda: newer(resumed).get("count"))
        assert [event["event"] for event in resumed.events][:2] == ["hello", "jobs"]
        assert resumed.events[1]["id"] == last
        assert states(resumed) == {page[2]: "PENDING", page[1]: "CANCELLED", page[0]: "PENDING"}
        assert newer(resumed) == {"count": 1, "more": False, "job_ids": [new]}


def test_an_empty_list_is_followed_and_resumed(system: System) -> None:
    system.api(**FAST)
    with open_stream(system.client, "/jobs/events?tag=none") as reader:
        until("the page is there", lambda: reader.data("newer"))
        assert (reader.data("page")[0]["jobs"], reader.events[1]["id"]) == ([], "0")
    body = {"operation": "square_sum", "data": [1], "tags": ["none"]}
    job_id = system.client.post("/jobs/", json=body).raise_for_status().json()["job_id"]
    with open_stream(system.client, "/jobs/events?tag=none", "0") as resumed:
        until("its first job is told", lambda: newer(resumed).get("job_ids") == [job_id])
        assert resumed.data("page") == []


def test_the_links_of_a_page_begin_with_the_prefix_of_the_api(system: System) -> None:
    system.api(**FAST, JOBPROC_ROOT_PATH="/teams/jobs")
    jobs = [system.submit("square_sum", n) for n in range(2)]
    with open_stream(system.client, "/teams/jobs/jobs/events?limit=1") as reader:
        until("the page is there", lambda: reader.data("newer"))
        (page,) = reader.data("page")
        assert page["next"].startswith("/teams/jobs/jobs?limit=1&cursor=")
        system.client.post(f"/jobs/{jobs[1]}/cancel").raise_for_status()
        until("its row has changed", lambda: states(reader)[jobs[1]] == "CANCELLED")
        for row in (page["jobs"][0], reader.data("jobs")[-1]["jobs"][0]):
            assert row["links"]["self"] == f"/teams/jobs/jobs/{jobs[1]}"


def test_a_request_that_cannot_be_followed_gets_a_problem(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    client = read_only_system.client
    for query, field in (
        ("zebra=1", "zebra"),
        ("sort=-finished", "sort"),
        ("cursor=x", "cursor"),
        ("limit=201", "limit"),
    ):
        body = assert_problem(client.get(f"/jobs/events?{query}"), 422, "invalid-parameter")
        assert [error["field"] for error in body["errors"]] == [field]
    for last in ("x", "1", "A" * 21, "A" * 23, "A" * 44, f"{'A' * 5000}"):
        response = client.get("/jobs/events", headers={"Last-Event-ID": last})
        assert_problem(response, 422, "invalid-parameter")


def test_lists_and_jobs_beyond_the_limits_are_refused(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api(**FAST, JOBPROC_LIST_STREAM_MAX_LISTS="2", JOBPROC_LIST_STREAM_MAX_JOBS="200")
    system.database.rows(
        "INSERT INTO jobs (id, operation, queue, max_attempts) SELECT unnest(%s::uuid[]), 'square_sum', 'default', 1",
        ([str(new_job_id(int(time.time() * 1000) + n, n)) for n in range(300)],),
    )
    with open_stream(system.client, "/jobs/events?limit=200&sort=created") as reader:
        until("the page is there", lambda: reader.data("page"), 5)
        with open_stream(system.client, "/jobs/events?limit=200&sort=created") as same:
            until("others follow the same list", lambda: same.data("page"), 5)
            assert_problem(system.client.get("/jobs/events?limit=1"), 503, "too-many-waiting")
            with open_stream(system.client, "/jobs/events?tag=a") as second:
                until("an empty page has room", lambda: second.data("page"), 5)
                assert_problem(system.client.get("/jobs/events?tag=b"), 503, "too-many-waiting")
    reasons = {event["reason"] for event in system.events("api", "clients_refused")}
    assert reasons == {"followed_lists", "followed_jobs"}

    def is_free() -> bool:
        with open_stream(system.client, "/jobs/events?tag=b") as reader:
            return reader.response.status_code == 200

    until("the places are free when nobody looks", is_free)


def seconds_of_commits(system: System, commits: int) -> float:
    """Return how long it takes until the database has committed so many more transactions."""

    def committed() -> int:
        return int(system.database.value("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"))

    first, began = committed(), time.monotonic()
    until("the commits", lambda: committed() >= first + commits, 40)
    return time.monotonic() - began


def test_many_clients_cost_one_read_and_none_costs_nothing(system: System) -> None:
    system.api(**FAST)
    system.submit("square_sum", 1)
    path = "/jobs/events?operation=square_sum"
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(open_stream(system.client, path))]
        until("the page is there", lambda: readers[0].data("newer"))
        alone_s = seconds_of_commits(system, 60)
        readers += [stack.enter_context(open_stream(system.client, path)) for _ in range(9)]
        until("all have it", lambda: all(reader.data("newer") for reader in readers))
        assert seconds_of_commits(system, 60) > alone_s / 3, "ten times the reads would take a tenth of the time"
        job_id = system.submit("square_sum", 2)
        until("all are told", lambda: all(newer(reader)["job_ids"] == [job_id] for reader in readers))
    looks = [""]

    def is_quiet() -> bool:
        sql = "SELECT max(state_change)::text FROM pg_stat_activity WHERE usename LIKE '%_api'"
        looks.append(str(system.database.value(sql)))
        return looks[-1] == looks[-2]

    until("no statement within ten polls", is_quiet, pause_s=10 * 0.05)


def test_a_stream_has_heartbeats_and_ends_with_the_process(system: System) -> None:
    system.api(**FAST, JOBPROC_EVENT_HEARTBEAT_SECONDS="0.1")
    with open_stream(system.client, "/jobs/events") as reader:
        until("heartbeats are sent while nothing changes", lambda: reader.heartbeats >= 3)
        assert [event["event"] for event in reader.events] == ["hello", "page", "newer"]
        system.end("api")
        until("the stream ends in order", lambda: reader.ended, 5)


def test_a_stream_ends_when_the_list_cannot_be_read_and_comes_back(system: System) -> None:
    system.api(**FAST, JOBPROC_DATABASE_TIMEOUT_SECONDS="0.5")
    system.submit("square_sum", 1)
    with open_stream(system.client, "/jobs/events") as reader:
        until("the page is there", lambda: reader.data("newer"))
        system.database.rows("ALTER TABLE jobs RENAME TO jobs_away; SELECT 1")
        until("the stream ends", lambda: reader.ended, 10)
    system.database.rows("ALTER TABLE jobs_away RENAME TO jobs; SELECT 1")

    def is_back() -> bool:
        with open_stream(system.client, "/jobs/events") as reader:
            return reader.response.status_code == 200 and bool(
                until("its rows are sent", lambda: reader.data("newer") or reader.ended, 5)
            )

    until("lists are followed again", is_back)
