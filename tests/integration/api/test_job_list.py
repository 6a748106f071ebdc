"""GET /jobs: filters, sort orders, pagination, invalid parameters."""

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
    ("queue=default&queue=other", "queue", "given more than once"),
    ("queue=%20", "queue", "pattern"),
    ("operation=", "operation", "at least 1"),
    ("operation=a%00b", "operation", "pattern"),
    ("tag=%00", "tag", "pattern"),
    ("error=a%00", "error", "pattern"),
    ("id_suffix=abc", "id_suffix", "pattern"),
    ("id_suffix=wxyz", "id_suffix", "pattern"),
    ("queue=%00", "queue", "pattern"),
    ("limit=0", "limit", "greater than or equal to 1"),
    ("limit=201", "limit", "more than 200"),
    ("limit=many", "limit", "integer"),
    ("sort=priority", "sort", "'-created'"),
    ("sort=-finished", "sort", "needs a status of FAILED, CANCELLED"),
    ("sort=finished&status=SUCCESS,FAILED", "sort", "needs a status of FAILED, CANCELLED"),
    ("created_after=2026-01-01", "created_after", "offset"),
    ("created_after=2026-01-01T00:00:00", "created_after", "timezone"),
    ("created_after=0001-01-01T00:00:00Z", "created_after", "between 1970"),
    ("created_after=9999-12-31T23:59:59-12:00", "created_after", "between 1970"),
    (
        "created_after=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z",
        "created_after",
        "not before created_before",
    ),
    ("finished_after=2026-01-01T00:00:00Z&status=PENDING", "finished_after", "only finished jobs"),
    ("error=timeout&status=SUCCESS", "error", "status=FAILED"),
    ("cursor=zebra", "cursor", "not a cursor of this list"),
    ("cursor=%00", "cursor", "not a cursor of this list"),
    (f"cursor={'A' * 76}", "cursor", "not a cursor of this list"),
    (f"cursor={'A' * 201}", "cursor", "at most 200"),
]


@pytest.mark.parametrize(("query", "field", "reason"), REFUSED)
def test_an_invalid_parameter_is_refused_by_name_with_the_rule_it_breaks(
    read_only_system: System, assert_problem: Callable[..., Any], query: str, field: str, reason: str
) -> None:
    body = assert_problem(read_only_system.client.get(f"/jobs?{query}"), 422, "invalid-parameter")
    assert [error["field"] for error in body["errors"]] == [field]
    assert reason in body["errors"][0]["reason"]


def pages(system: System, query: str, max_pages: int = 10_000) -> Iterator[dict[str, Any]]:
    """Yield each page of a list, and check its links."""
    path: str | None = f"/jobs?{query}"
    while path is not None:
        response = system.client.get(path)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        links = response.links
        assert links.get("next", {}).get("url") == body["next"]
        assert "cursor" not in links["first"]["url"]
        yield body
        path, max_pages = body["next"], max_pages - 1
        assert max_pages > 0


def listed_ids(system: System, query: str) -> list[str]:
    return [job["job_id"] for page in pages(system, query) for job in page["jobs"]]


@pytest.fixture
def jobs_by_state(system: System) -> dict[str, list[str]]:
    """Create jobs that succeeded, failed, are scheduled and are pending; return their ids in order of creation."""
    system.env["JOBPROC_LIST_SCAN_JOBS"] = "100"
    system.all()

    def send(**options: Any) -> str:
        return str(
            system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **options}).json()[
                "job_id"
            ]
        )

    jobs = {
        "succeeded": [send(tags=["nightly", "a b/ü"]) for _ in range(3)] + [send() for _ in range(3)],
        "failed": [send(operation="fail_for_good", tags=["nightly"]) for _ in range(4)],
    }
    system.wait_all()
    system.end("worker")
    jobs["scheduled"] = [send(delay_seconds=1_000, tags=["nightly"]) for _ in range(3)]
    jobs["pending"] = [send() for _ in range(4)]
    return jobs


def test_each_filter_finds_its_jobs_in_each_order(system: System, jobs_by_state: dict[str, list[str]]) -> None:
    everything = [
        *jobs_by_state["succeeded"],
        *jobs_by_state["failed"],
        *jobs_by_state["scheduled"],
        *jobs_by_state["pending"],
    ]
    assert sorted(everything) == everything, "ids are in the order of creation"
    expected = {
        "": everything,
        "status=SUCCESS": jobs_by_state["succeeded"],
        "status=FAILED": jobs_by_state["failed"],
        "status=FAILED,CANCELLED": jobs_by_state["failed"],
        "status=SCHEDULED": jobs_by_state["scheduled"],
        "status=PENDING&status=SCHEDULED": jobs_by_state["scheduled"] + jobs_by_state["pending"],
        "status=PENDING,FAILED": jobs_by_state["failed"] + jobs_by_state["pending"],
        "status=IN_PROGRESS": [],
        "operation=fail_for_good": jobs_by_state["failed"],
        "operation=nothing": [],
        "queue=default": everything,
        "queue=other": [],
        "tag=nightly": jobs_by_state["succeeded"][:3] + jobs_by_state["failed"] + jobs_by_state["scheduled"],
        "tag=a+b%2F%C3%BC": jobs_by_state["succeeded"][:3],
        "tag=nightly&status=FAILED": jobs_by_state["failed"],
        "tag=none": [],
        "error=VALUEerror": [],
        f"id_suffix={everything[1][-8:].upper()}": everything[1:2],
        f"id_suffix={everything[2]}": everything[2:3],
        "id_suffix=0000-0000": [],
        "error=fail": jobs_by_state["failed"],
        f"created_after={_at(jobs_by_state['failed'][1])}": everything[everything.index(jobs_by_state["failed"][1]) :],
        f"created_before={_at(jobs_by_state['failed'][1])}": everything[: everything.index(jobs_by_state["failed"][1])],
        "finished_after=2020-01-01T00:00:00Z": jobs_by_state["succeeded"] + jobs_by_state["failed"],
        "finished_before=2020-01-01T00:00:00Z": [],
    }
    for query, ids in expected.items():
        for limit in ("limit=2", "limit=200"):
            for sort in ("created", "-created"):
                assert listed_ids(system, f"{query}&sort={sort}&{limit}".lstrip("&")) == (
                    ids if sort == "created" else ids[::-1]
                ), (query, limit, sort)
    ids_by_end = [
        row[0]
        for row in system.database.rows(
            "SELECT id::text FROM outcomes WHERE status = 'FAILED' ORDER BY finished_at, id"
        )
    ]
    for query in (
        "status=FAILED",
        "status=FAILED,CANCELLED&tag=nightly",
        "error=fail",
        "status=FAILED&finished_after=2020-01-01T00:00:00Z",
    ):
        assert listed_ids(system, f"{query}&sort=finished&limit=1") == ids_by_end
        assert listed_ids(system, f"{query}&sort=-finished&limit=3") == ids_by_end[::-1]


def _at(job_id: str) -> str:
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=uuid.UUID(job_id).int >> 80))
        .isoformat()
        .replace("+00:00", "Z")
    )


def test_a_listed_job_has_the_values_of_its_details_and_working_links(
    system: System, jobs_by_state: dict[str, list[str]]
) -> None:
    (job, *_) = next(pages(system, "status=FAILED"))["jobs"]
    details = system.job(job["job_id"])
    assert job["links"]["self"] == f"/jobs/{job['job_id']}"
    assert all(system.client.get(path).status_code == 200 for path in job["links"].values())
    assert job["tags"] == ["nightly"]
    assert details["error"].pop("traceback"), "too large for a list"
    assert {name: job[name] for name in set(job) & set(details) - {"links"}} == {
        name: details[name] for name in set(job) & set(details) - {"links"}
    }
    assert {"input", "result"} & set(job) == set(), "inputs and results are too large for a list"


def test_the_total_is_estimated_only_on_the_first_page_and_only_where_that_is_cheap(
    system: System, jobs_by_state: dict[str, list[str]]
) -> None:
    assert next(pages(system, ""))["estimated_total"] == 17
    first, second = list(pages(system, "limit=10"))
    assert second["estimated_total"] is None
    assert first["estimated_total"] is None, "the table has no statistics yet"
    system.database.rows("VACUUM ANALYZE jobs")
    assert next(pages(system, "limit=10"))["estimated_total"] == 17
    assert next(pages(system, "limit=2&tag=nightly"))["estimated_total"] is None, "table tags has no statistics yet"
    system.database.rows("VACUUM ANALYZE tags, outcomes")
    estimates = {
        "tag=nightly": 10,
        "status=FAILED": 4,
        "operation=square_sum": 13,
        "status=SUCCESS,FAILED&finished_after=2020-01-01T00:00:00Z": 10,
    }
    for query, count in estimates.items():
        assert next(pages(system, f"limit=2&{query}"))["estimated_total"] == count, query
    for query in ("tag=nightly&status=FAILED", "status=PENDING", "error=fail"):
        assert next(pages(system, f"limit=2&{query}"))["estimated_total"] is None, query


def test_pagination_returns_each_existing_job_exactly_once_while_others_are_submitted(system: System) -> None:
    system.api()
    existing = system.submit_many("square_sum", [[1.0]] * 300)
    for sort in ("created", "-created"):
        seen: list[str] = []
        for page in pages(system, f"limit=20&sort={sort}", max_pages=1_000):
            seen += [job["job_id"] for job in page["jobs"]]
            if len(seen) < 600:
                system.submit_many("square_sum", [[1.0]] * 7)  # ascending pages include some of these
        assert len(seen) == len(set(seen))
        assert [job_id for job_id in seen if job_id in set(existing)] == sorted(existing, reverse=sort == "-created")


def test_a_rare_job_is_found_on_a_later_page_and_no_page_scans_more_than_its_budget(system: System) -> None:
    system.api(JOBPROC_LIST_SCAN_JOBS="100")
    system.submit_many("square_sum", [[1.0]] * 250)
    rare = system.submit("cube_sum", 1)
    system.submit_many("square_sum", [[1.0]] * 250)
    read_pages = list(pages(system, "operation=cube_sum"))
    assert [page["scanned"] for page in read_pages] == [100, 100, 100, 100, 100, 1]
    assert [[job["job_id"] for job in page["jobs"]] for page in read_pages] == [[], [], [rare], [], [], []]


def test_a_cursor_is_valid_only_for_its_list_and_its_service(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api()
    system.submit_many("square_sum", [[1.0]] * 30)
    next_page = system.client.get("/jobs?queue=default&limit=10").json()["next"]
    (cursor,) = parse_qs(urlsplit(next_page).query)["cursor"]
    for query in (
        "limit=10",
        "queue=other",
        "queue=default&sort=created",
        "queue=default&created_after=2020-01-01T00:00:00Z",
    ):
        assert_problem(system.client.get(f"/jobs?{query}&cursor={cursor}"), 422, "invalid-parameter")
    for at in range(0, len(cursor), 7):
        forged = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        assert_problem(system.client.get(f"/jobs?queue=default&cursor={forged}"), 422, "invalid-parameter")
    assert len(system.client.get(f"/jobs?queue=default&limit=200&cursor={cursor}").json()["jobs"]) == 20
    system.end("api")
    system.api("replica")
    assert system.client.get(next_page).status_code == 200, "another process of the same service"
    system.end("replica")
    system.api("stranger", JOBPROC_CURSOR_KEY="another")
    assert_problem(system.client.get(next_page), 422, "invalid-parameter")
    assert "another" not in json.dumps(system.events("stranger", "starting"))


def test_the_list_without_a_database_is_unavailable(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api(DATABASE_URL="postgresql://127.0.0.1:1/nothing", JOBPROC_DATABASE_TIMEOUT_SECONDS="0.5")
    assert_problem(system.client.get("/jobs"), 503, "store-unavailable")


def test_a_manually_retried_job_is_listed_once_in_its_current_state(system: System) -> None:
    system.all()
    job_id = system.submit("fail_for_good", 1)
    system.wait_all()
    system.end("worker")
    system.database.rows(
        """INSERT INTO outcomes (id, run, attempt, released, rev, finished_at, status, error_type, error_text)
           SELECT id, run + 1, attempt + 1, released, rev + 2, finished_at + interval '1 s', 'CANCELLED', NULL, NULL
           FROM outcomes"""
    )
    until("the job is cancelled", lambda: system.status(job_id) == "CANCELLED")
    for sort in ("created", "-created", "finished", "-finished"):
        assert listed_ids(system, f"status=FAILED,CANCELLED&sort={sort}") == [job_id]
        assert listed_ids(system, f"status=FAILED&sort={sort}") == []


def test_the_examples_of_the_howto_work(read_only_system: System) -> None:
    examples = re.findall(
        r"^curl .*'http://127\.0\.0\.1:8000(/[^']*)'$",
        (ROOT / "docs" / "howto" / "list-jobs.md").read_text(),
        re.MULTILINE,
    )
    assert len(examples) == 10
    for path in examples:
        with read_only_system.client.stream("GET", path) as response:  # that of a followed list has no end
            assert response.status_code == (404 if path.startswith("/jobs/0") else 200), path


def test_every_parameter_is_described_in_the_howto(read_only_system: System) -> None:
    table = (ROOT / "docs" / "howto" / "list-jobs.md").read_text().partition("A page:")[0]
    assert set(
        re.findall(
            r"`([a-z_]+)`(?=[^\n]*\|)",
            "\n".join(line.split("|")[1] + "|" for line in table.splitlines() if line.startswith("| `")),
        )
    ) == {
        parameter["name"]
        for parameter in read_only_system.client.get("/openapi.json").json()["paths"]["/jobs/"]["get"]["parameters"]
    }
