"""GET /workers: the processes and what each has claimed; of other tenants' jobs only their number."""

from typing import Any

from rig.keys import REQUIRED, client_of, new_key
from rig.system import System, until
from rig.tenants import new_tenant


def test_the_list_has_each_process_with_the_jobs_of_the_caller(system: System) -> None:
    system.api(**REQUIRED).controller().worker(queues="default,slow")
    other = new_tenant(system.database, "other")
    with (
        client_of(system, new_key(system.database)) as client,
        client_of(system, new_key(system.database, tenant=other)) as stranger,
    ):
        job_id = client.post("/jobs/", json={"operation": "sleep", "data": [10]}).raise_for_status().json()["job_id"]

        def running(of: Any = client) -> list[dict[str, Any]]:
            return [
                worker for worker in of.get("/workers").raise_for_status().json()["workers"] if worker["claimed_jobs"]
            ]

        until("the job runs", running)
        (worker,) = running()
        assert worker["alive"] is True and worker["ended_at"] is None
        assert "sleep" in worker["operations"] and worker["queues"] == ["default", "slow"]
        assert [(job["job_id"], job["operation"], job["attempt"]) for job in worker["jobs"]] == [(job_id, "sleep", 1)]
        assert client.get(f"/jobs/{job_id}").json()["worker"] == worker["worker"]
        assert running(stranger) == []
        assert worker["worker"] in {known["worker"] for known in stranger.get("/workers").json()["workers"]}
        client.post(f"/jobs/{job_id}/cancel").raise_for_status()
        system.end("worker")

        def ended() -> bool:
            workers = client.get("/workers").json()["workers"]
            return all(known["ended_at"] and not known["alive"] for known in workers)

        until("the ended processes are listed as such", ended)
        system.database.rows("UPDATE workers SET ended_at = ended_at - interval '2 hours'")
        until("they are listed no more", lambda: client.get("/workers").json()["workers"] == [])
