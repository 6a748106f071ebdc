"""GET /jobs: filters, order, pages, what is refused."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rig.fork_server import ROOT
from rig.system import System, until

REFUSED = [
    ("zebra=1", "zebra", "allowed are status, operation"),
    ("offset=10", "offset", "allowed are"),
    ("status=DONE", "status.0", "'SCHEDULED'"),
    ("queue=default&queue=other", "queue", "given twice"),
    ("queue=%20", "queue", "pattern"),
    ("operation=", "operation", "at least 1"),
    ("operation=a%00b", "operation", "pattern"),
    ("limit=0", "limit", "greater than or equal to 1"),
    ("limit=201", "limit", "more than 200"),
    ("limit=many", "limit", "integer"),
    ("sort=priority", "sort", "'-created'"),
    ("sort=-finished", "sort", "status of these alone"),
    ("sort=finished&status=SUCCESS,FAILED", "sort", "status of these alone"),
    ("created_after=2026-01-01", "created_after", "offset"),
    ("created_after=2026-01-01T00:00:00", "created_after", "timezone"),
    ("created_after=0001-01-01T00:00:00Z", "created_after", "between 1970"),
    ("created_after=9999-12-31T23:59:59-12:00", "created_after", "between 1970"),
    ("created_after=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z", "created_after", "not before created_before"),
    ("finished_after=2026-01-01T00:00:00Z&status=PENDING", "finished_after", "only finished jobs"),
    ("error=timeout&status=SUCCESS", "error", "status=FAILED"),
    ("cursor=zebra", "cursor", "not one of this list"),
    ("cursor=%00", "cursor", "not one of this list"),
    (f"cursor={'A' * 76}", "cursor", "not one of this list"),
    (f"cursor={'A' * 201}", "cursor", "at most 200"),
]


@pytest.mark.parametrize(("query", "field", "reason"), REFUSED)
def test_what_is_not_served_is_refused_by_name_with_what_is_allowed(served: System, refused: Callable[..., Any], query: str, field: str, reason: str) -> None:
    body = refused(served.client.get(f"/jobs?{query}"), 422, "invalid-parameter")
    assert [one["field"] for one in body["errors"]] == [field]
    assert reason in body["errors"][0]["reason"]


def pages(system: System, query: str, most: int = 10_000) -> Iterator[dict[str, Any]]:
    """Walk a list to its end; each page is checked."""
    path: str | None = f"/jobs?{query}"
    while path is not None:
        answer = system.client.get(path)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        links = answer.links
        assert links.get("next", {}).get("url") == body["next"]
        assert "cursor" not in links["first"]["url"]
        yield body
        path, most = body["next"], most - 1
        assert most > 0


def found(system: System, query: str) -> list[str]:
    return [job["job_id"] for page in pages(system, query) for job in page["jobs"]]


@pytest.fixture
def lived(system: System) -> dict[str, list[str]]:
    """Jobs in each state, by what became of them; first to last in each."""
    system.env["JOBPROC_LIST_SCAN_JOBS"] = "100"
    system.all()

    def send(**more: Any) -> str:
        return str(system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **more}).json()["job_id"])

    jobs = {
        "good": [send(tags=["nightly", "a b/ü"]) for _ in range(3)] + [send() for _ in range(3)],
        "bad": [send(operation="fail_for_good", tags=["nightly"]) for _ in range(4)],
    }
    system.wait_all()
    system.end("worker")
    jobs["later"] = [send(delay=1_000, tags=["nightly"]) for _ in range(3)]
    jobs["waits"] = [send() for _ in range(4)]
    return jobs


def test_jobs_are_found_by_each_filter_in_each_order(system: System, lived: dict[str, list[str]]) -> None:
    everything = [*lived["good"], *lived["bad"], *lived["later"], *lived["waits"]]
    assert sorted(everything) == everything, "ids are in the order of their time"
    expected = {
        "": everything,
        "status=SUCCESS": lived["good"],
        "status=FAILED": lived["bad"],
        "status=FAILED,CANCELLED": lived["bad"],
        "status=SCHEDULED": lived["later"],
        "status=PENDING&status=SCHEDULED": lived["later"] + lived["waits"],
        "status=PENDING,FAILED": lived["bad"] + lived["waits"],
        "status=IN_PROGRESS": [],
        "operation=fail_for_good": lived["bad"],
        "operation=nothing": [],
        "queue=default": everything,
        "queue=other": [],
        "tag=nightly": lived["good"][:3] + lived["bad"] + lived["later"],
        "tag=a+b%2F%C3%BC": lived["good"][:3],
        "tag=nightly&status=FAILED": lived["bad"],
        "tag=none": [],
        "error=VALUEerror": [],
        "error=fail": lived["bad"],
        f"created_after={_at(lived['bad'][1])}": everything[everything.index(lived["bad"][1]) :],
        f"created_before={_at(lived['bad'][1])}": everything[: everything.index(lived["bad"][1])],
        "finished_after=2020-01-01T00:00:00Z": lived["good"] + lived["bad"],
        "finished_before=2020-01-01T00:00:00Z": [],
    }
    for query, ids in expected.items():
        for limit in ("limit=2", "limit=200"):
            for sort in ("created", "-created"):
                assert found(system, f"{query}&sort={sort}&{limit}".lstrip("&")) == (ids if sort == "created" else ids[::-1]), (query, limit, sort)
    ends = [row[0] for row in system.database.rows("SELECT id::text FROM outcomes WHERE status = 'FAILED' ORDER BY finished_at, id")]
    for query in ("status=FAILED", "status=FAILED,CANCELLED&tag=nightly", "error=fail", "status=FAILED&finished_after=2020-01-01T00:00:00Z"):
        assert found(system, f"{query}&sort=finished&limit=1") == ends
        assert found(system, f"{query}&sort=-finished&limit=3") == ends[::-1]


def _at(job_id: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=uuid.UUID(job_id).int >> 80)).isoformat().replace("+00:00", "Z")


def test_a_job_in_a_list_says_what_it_is_and_where_to_go_on(system: System, lived: dict[str, list[str]]) -> None:
    (job, *_) = next(pages(system, "status=FAILED"))["jobs"]
    whole = system.job(job["job_id"])
    assert job["links"]["self"] == f"/jobs/{job['job_id']}"
    assert all(system.client.get(path).status_code == 200 for path in job["links"].values())
    assert job["tags"] == ["nightly"]
    assert {name: job[name] for name in set(job) & set(whole) - {"links"}} == {name: whole[name] for name in set(job) & set(whole) - {"links"}}
    assert {"input", "result"} & set(job) == set(), "what is large is not in a list"


def test_the_whole_of_a_list_is_counted_on_its_first_page_alone_and_only_where_that_is_cheap(system: System, lived: dict[str, list[str]]) -> None:
    assert next(pages(system, ""))["estimated_total"] == 17
    first, second = list(pages(system, "limit=10"))
    assert second["estimated_total"] is None
    assert first["estimated_total"] is None, "nobody has looked at the table yet"
    system.database.rows("VACUUM ANALYZE jobs")
    assert next(pages(system, "limit=10"))["estimated_total"] == 17
    assert next(pages(system, "limit=2&tag=nightly"))["estimated_total"] is None, "nor at that one"
    system.database.rows("VACUUM ANALYZE tags, outcomes")
    known = {"tag=nightly": 10, "status=FAILED": 4, "operation=square_sum": 13, "status=SUCCESS,FAILED&finished_after=2020-01-01T00:00:00Z": 10}
    for query, count in known.items():
        assert next(pages(system, f"limit=2&{query}"))["estimated_total"] == count, query
    for query in ("tag=nightly&status=FAILED", "status=PENDING", "error=fail"):
        assert next(pages(system, f"limit=2&{query}"))["estimated_total"] is None, query


def test_a_walk_sees_each_job_that_was_there_exactly_once_while_others_come(system: System) -> None:
    system.api()
    there = system.submit_many("square_sum", [[1.0]] * 300)
    for sort in ("created", "-created"):
        seen: list[str] = []
        for page in pages(system, f"limit=20&sort={sort}", most=1_000):
            seen += [job["job_id"] for job in page["jobs"]]
            if len(seen) < 600:
                system.submit_many("square_sum", [[1.0]] * 7)  # in ascending order the walk comes to some of them
        assert len(seen) == len(set(seen))
        assert [job_id for job_id in seen if job_id in set(there)] == sorted(there, reverse=sort == "-created")


def test_a_rare_job_is_found_by_going_on_and_no_page_walks_further_than_its_budget(system: System) -> None:
    system.api(JOBPROC_LIST_SCAN_JOBS="100")
    system.submit_many("square_sum", [[1.0]] * 250)
    rare = system.submit("cube_sum", 1)
    system.submit_many("square_sum", [[1.0]] * 250)
    walked = list(pages(system, "operation=cube_sum"))
    assert [page["scanned"] for page in walked] == [100, 100, 100, 100, 100, 1]
    assert [[job["job_id"] for job in page["jobs"]] for page in walked] == [[], [], [rare], [], [], []]


def test_a_cursor_is_of_one_list_and_of_this_service(system: System, refused: Callable[..., Any]) -> None:
    system.api()
    system.submit_many("square_sum", [[1.0]] * 30)
    after = system.client.get("/jobs?queue=default&limit=10").json()["next"]
    (cursor,) = parse_qs(urlsplit(after).query)["cursor"]
    for query in ("limit=10", "queue=other", "queue=default&sort=created", "queue=default&created_after=2020-01-01T00:00:00Z"):
        refused(system.client.get(f"/jobs?{query}&cursor={cursor}"), 422, "invalid-parameter")
    for at in range(0, len(cursor), 7):
        forged = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        refused(system.client.get(f"/jobs?queue=default&cursor={forged}"), 422, "invalid-parameter")
    assert len(system.client.get(f"/jobs?queue=default&limit=200&cursor={cursor}").json()["jobs"]) == 20
    system.end("api")
    system.api("replica")
    assert system.client.get(after).status_code == 200, "another process of the same service"
    system.end("replica")
    system.api("stranger", JOBPROC_CURSOR_KEY="another")
    refused(system.client.get(after), 422, "invalid-parameter")
    assert "another" not in json.dumps(system.events("stranger", "starting"))


def test_without_its_database_it_is_unavailable(system: System, refused: Callable[..., Any]) -> None:
    system.api(DATABASE_URL="postgresql://127.0.0.1:1/nothing", JOBPROC_DATABASE_TIMEOUT_SECONDS="0.5")
    refused(system.client.get("/jobs"), 503, "store-unavailable")


def test_a_job_that_was_retried_by_hand_is_listed_once_as_it_is_now(system: System) -> None:
    system.all()
    job_id = system.submit("fail_for_good", 1)
    system.wait_all()
    system.end("worker")
    system.database.rows(
        """INSERT INTO outcomes (id, epoch, attempt, released, rev, finished_at, status, error_type, error_text)
           SELECT id, epoch + 1, attempt + 1, released, rev + 2, finished_at + interval '1 s', 'CANCELLED', NULL, NULL FROM outcomes"""
    )
    until("it is cancelled", lambda: system.status(job_id) == "CANCELLED")
    for sort in ("created", "-created", "finished", "-finished"):
        assert found(system, f"status=FAILED,CANCELLED&sort={sort}") == [job_id]
        assert found(system, f"status=FAILED&sort={sort}") == []


def test_the_examples_of_the_how_to_are_served(served: System) -> None:
    examples = re.findall(r"^curl .*'http://127\.0\.0\.1:8000(/[^']*)'$", (ROOT / "docs" / "howto" / "find.md").read_text(), re.MULTILINE)
    assert len(examples) == 6
    for path in examples:
        answer = served.client.get(path)
        assert answer.status_code == (404 if path.startswith("/jobs/") else 200), answer.text


def test_every_parameter_is_described_in_the_how_to(served: System) -> None:
    table = (ROOT / "docs" / "howto" / "find.md").read_text().partition("A page:")[0]
    assert set(re.findall(r"`([a-z_]+)`(?=[^\n]*\|)", "\n".join(line.split("|")[1] + "|" for line in table.splitlines() if line.startswith("| `")))) == {
        one["name"] for one in served.client.get("/openapi.json").json()["paths"]["/jobs/"]["get"]["parameters"]
    }
