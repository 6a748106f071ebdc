"""GET /live and followed lists: each tenant gets its own, each caller what its scopes allow."""

from rig.event_streams import open_stream
from rig.keys import client_of, new_key
from rig.system import System, until
from rig.tenants import tenant_client

from common.domain.tenancy.scopes import Scope


def test_the_overview_has_the_parts_of_the_tenant_as_they_change(secured: System) -> None:
    with (
        tenant_client(secured, "overview-one") as one,
        tenant_client(secured, "overview-two") as two,
        open_stream(one.client, "/live") as reader,
        open_stream(two.client, "/live") as other,
    ):
        until("all parts are there", lambda: reader.data("bulk_actions") and other.data("bulk_actions"))
        assert [event["event"] for event in reader.events][:4] == ["hello", "stats", "workers", "bulk_actions"]
        assert reader.data("hello")[0]["version"] == secured.client.get("/openapi.json").json()["info"]["version"]
        workers = reader.data("workers")[0]
        assert workers["alive"] == 2 and set(workers) == {"alive", "busy", "claimed_jobs", "jobs"}
        running = one.submit("sleep", data=[1.5])
        until("what runs is shown", lambda: running in str(reader.data("workers")[-1]))
        job = reader.data("workers")[-1]["jobs"][0]
        assert (job["job_id"], job["operation"], job["attempt"]) == (running, "sleep", 1)
        assert job["host"] and job["pid"] and job["worker"]
        until("it is over", lambda: reader.data("workers")[-1]["claimed_jobs"] == 0)
        queues = one.client.get("/stats").json()["queues"]
        until("as GET /stats has them", lambda: reader.data("stats")[-1]["queues"][0]["queue"] == queues[0]["queue"])
        assert running not in str(other.events)
        for stats in other.data("stats"):
            assert not any(queue["running"] or queue["queued"] for queue in stats["queues"])


def test_bulk_actions_are_for_callers_with_their_scope(secured: System) -> None:
    key = new_key(secured.database, [Scope.QUEUES])
    action = {"action": "cancel", "filter": {"operation": "no_such_operation"}}
    with client_of(secured, key) as client, tenant_client(secured, "overview-bulk") as tenant:
        made = tenant.client.post("/bulk-actions", json=action).raise_for_status().json()["bulk_action_id"]
        secured.database.rows(
            "UPDATE bulk_actions SET phase = 'RUNNING', count = 4, matched = 1 WHERE id = %s", (made,)
        )
        with open_stream(client, "/live") as reader, open_stream(tenant.client, "/live") as owner:
            until("both have parts", lambda: reader.data("workers") and owner.data("bulk_actions"))
            assert reader.data("bulk_actions") == []
            shown = [part["bulk_actions"] for part in owner.data("bulk_actions")]
            assert [action["bulk_action_id"] for action in shown[0]] in ([made], [])
    with client_of(secured, new_key(secured.database, [Scope.JOBS_READ])) as client:
        assert client.get("/live").status_code == 403, "GET /stats needs `queues` too"


def test_a_followed_list_has_no_job_of_another_tenant(secured: System) -> None:
    with tenant_client(secured, "follower-one") as one, tenant_client(secured, "follower-two") as two:
        mine, theirs = one.submit(delay_seconds=3600), two.submit(delay_seconds=3600)
        with open_stream(one.client, "/jobs/events?status=SCHEDULED") as reader:
            until("the page is there", lambda: reader.data("newer"))
            assert [job["job_id"] for job in reader.data("page")[0]["jobs"]] == [mine]
            last = next(event["id"] for event in reader.events if "id" in event)
            two.submit(delay_seconds=3600)
            another = one.submit(delay_seconds=3600)
            until("its own newer job is told", lambda: reader.data("newer")[-1]["job_ids"] == [another])
        with open_stream(two.client, "/jobs/events?status=SCHEDULED", last) as stolen:
            until("the stream goes on", lambda: theirs in str(stolen.data("newer")))
            assert stolen.data("jobs")[0] == {"jobs": [], "removed": [mine]}, "as if there were no such job"
            assert mine not in str(stolen.data("newer"))


def test_the_settings_of_a_console_need_no_scope_but_a_caller(secured: System) -> None:
    assert secured.client.get("/console/settings").status_code == 401
    with client_of(secured, new_key(secured.database, [])) as client:
        answer = client.get("/console/settings").raise_for_status().json()
    assert answer["environment"] == {"name": None, "colour": None}
    assert answer["links"] == {"trace": None, "logs": None, "grafana": None}


def test_the_name_of_the_installation_and_its_links_are_those_of_the_settings(system: System) -> None:
    trace, logs = "https://jaeger.example/trace/{trace_id}", "https://logs.example/?q={job_id}"
    system.api(
        JOBPROC_ENVIRONMENT_NAME="prod-eu",
        JOBPROC_ENVIRONMENT_COLOUR="#c0392b",
        JOBPROC_TRACE_URL=trace,
        JOBPROC_LOGS_URL=logs,
    )
    answer = system.client.get("/console/settings").raise_for_status().json()
    assert answer["environment"] == {"name": "prod-eu", "colour": "#c0392b"}
    assert answer["links"] == {"trace": trace, "logs": logs, "grafana": None}
