"""Attacks on what another tenant has: by its ids, by keys, by what a submission says, by time."""

import hashlib
import statistics
import time

from integration.access.support.scene import LATER, UNKNOWN, Scene, as_unknown, attack, refused
from rig.keys import bearer

TIMED_REQUESTS = 60


@attack
def the_status_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/status", scene.ended)


@attack
def the_job_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}", scene.ended)


@attack
def the_result_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/result", scene.ended)


@attack
def the_result_of_another_by_waiting(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/result?wait=0.2", scene.ended)


@attack
def the_input_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/input", scene.ended)


@attack
def the_events_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/events", scene.waiting)


@attack
def the_logs_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/logs", scene.ended)
    as_unknown(scene, "GET", "/jobs/{}/logs?follow=true", scene.ended)


@attack
def the_explanation_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/jobs/{}/explain", scene.waiting)


@attack
def a_cancel_of_another(scene: Scene) -> None:
    as_unknown(scene, "POST", "/jobs/{}/cancel", scene.waiting)


@attack
def a_retry_of_another(scene: Scene) -> None:
    as_unknown(scene, "POST", "/jobs/{}/retry", scene.ended)
    as_unknown(scene, "POST", "/jobs/{}/retry", scene.ended, {"data": [2]})


@attack
def the_bulk_action_of_another(scene: Scene) -> None:
    as_unknown(scene, "GET", "/bulk-actions/{}", scene.bulk_action)
    for verb in ("start", "stop", "undo"):
        as_unknown(scene, "POST", f"/bulk-actions/{{}}/{verb}", scene.bulk_action)


@attack
def a_bulk_action_on_the_jobs_of_others(scene: Scene) -> None:
    for selection in ({"filter": {"tag": "secret"}}, {"filter": {}, "all": True}, {"filter": {"queue": "default"}}):
        preview = scene.attacker.client.post("/bulk-actions", json={"action": "cancel", **selection})
        assert scene.waiting not in preview.text
        path, count = f"/bulk-actions/{preview.json()['bulk_action_id']}", preview.json()["count"]
        scene.attacker.client.post(f"{path}/start", json={"count": count}).raise_for_status()


@attack
def the_key_of_another(scene: Scene) -> None:
    for verb in ("rotate", "revoke"):
        refused(scene.attacker.client.post(f"/keys/{scene.key_id}/{verb}"), 404)
    assert scene.key_id not in scene.attacker.client.get("/keys?limit=200").text


@attack
def the_audit_log_of_another(scene: Scene) -> None:
    scene.victim.client.post("/keys", json={"name": "audited", "scopes": ["jobs:read"]}).raise_for_status()
    for query in ("", f"?thing={scene.key_id}", "?action=key.create"):
        assert "audited" not in scene.attacker.client.get(f"/audit{query}").text


@attack
def lists_show_jobs_of_others(scene: Scene) -> None:
    for query in ("", "?tag=secret", "?status=SCHEDULED", "?queue=default", "?operation=square_sum"):
        page = scene.attacker.client.get(f"/jobs/{query}")
        assert page.status_code == 200
        assert scene.ended not in page.text
        assert scene.waiting not in page.text


@attack
def error_groups_and_values_of_others(scene: Scene) -> None:
    failed = scene.victim.submit(operation="fail_for_good", metadata={"secret": 4711})
    scene.victim.wait(failed)
    (group,) = scene.victim.client.get("/errors?operation=fail_for_good").json()["errors"]
    assert scene.attacker.client.get("/errors").json()["errors"] == []
    for query in (f"error_group={group['error_group']}", "metadata=secret=4711", "input=data.0=1"):
        assert failed not in scene.attacker.client.get(f"/jobs/?{query}").text
        filter_ = dict([query.split("=", 1)])
        body = {"action": "retry", "filter": {k: v if k == "error_group" else [v] for k, v in filter_.items()}}
        assert failed not in scene.attacker.client.post("/bulk-actions", json=body).raise_for_status().text


@attack
def a_stolen_cursor(scene: Scene) -> None:
    for _ in range(2):
        scene.victim.submit(delay_seconds=3_600)
    refused(scene.attacker.client.get(scene.victim.client.get("/jobs/?limit=1").json()["next"]), 422)


@attack
def a_forged_cursor(scene: Scene) -> None:
    scene.attacker.submit(delay_seconds=3_600)
    scene.attacker.submit(delay_seconds=3_600)
    path = scene.attacker.client.get("/jobs/?limit=1").json()["next"]
    for position in (-1, -10, -30):
        other = "A" if path[position] != "A" else "B"
        refused(scene.attacker.client.get(path[:position] + other + path[position:][1:]), 422)


@attack
def the_idempotency_key_of_another(scene: Scene) -> None:
    headers = {"Idempotency-Key": "order-1"}
    answer = scene.attacker.client.post("/jobs/", json=LATER, headers=headers)
    assert answer.status_code == 202
    assert "idempotency-replayed" not in answer.headers
    victims = scene.victim.client.post("/jobs/", json=LATER, headers=headers)
    assert (victims.status_code, victims.headers["idempotency-replayed"]) == (200, "true")


@attack
def the_unique_key_of_another(scene: Scene) -> None:
    for on_conflict in ("reject", "return", "replace"):
        unique = {"key": "report", "on_conflict": on_conflict}
        answer = scene.attacker.client.post("/jobs/", json=LATER | {"unique": unique})
        assert scene.waiting not in answer.text
    assert scene.victim.client.get(f"/jobs/{scene.waiting}/status").json()["status"] == "SCHEDULED"


@attack
def the_statistics_of_others(scene: Scene) -> None:
    queues = {queue["queue"]: queue for queue in scene.attacker.client.get("/stats").json()["queues"]}
    assert queues.get("secret-queue", {"queued": 0})["queued"] == 0


@attack
def members_that_no_client_sets(scene: Scene) -> None:
    members = ("tenant", "id", "job_id", "status", "attempt", "submitted_by", "result", "worker", "line", "run", "rev")
    for member in members:
        refused(scene.attacker.client.post("/jobs/", json=LATER | {member: 1}), 422)
        refused(scene.attacker.client.post("/jobs/batch", json=[LATER | {member: 1}]), 422)


@attack
def members_of_a_prototype(scene: Scene) -> None:
    for member in ("__proto__", "constructor", "__class__", "$ref"):
        refused(scene.attacker.client.post("/jobs/", json=LATER | {member: {"tenant": 1}}), 422)


@attack
def a_second_value_of_a_member(scene: Scene) -> None:
    body = b'{"operation":"square_sum","data":[1],"delay_seconds":3600,"delay_seconds":0}'
    refused(scene.attacker.client.post("/jobs/", content=body, headers={"Content-Type": "application/json"}), 400)


@attack
def an_operation_outside_of_the_catalogue(scene: Scene) -> None:
    for name in ("os.system", "builtins.eval", "../noop", "noop; rm -rf /"):
        refused(scene.attacker.client.post("/jobs/", json={"operation": name, "data": [1]}), 422)


@attack
def lines_in_a_log_by_a_request_id(scene: Scene) -> None:
    forged = 'x","event":"forged"}'
    scene.get(X_Request_ID=forged)
    assert not scene.system.events("api", "forged")
    assert forged not in scene.system.log("api")


@attack
def a_foreign_page_sends_a_request(scene: Scene) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    refused(scene.attacker.client.post("/jobs/", json=LATER, headers=headers), 403)


@attack
def a_foreign_name_of_the_host(scene: Scene) -> None:
    refused(scene.attacker.client.get("/jobs/", headers={"Host": "evil.example"}), 421)


@attack
def the_time_of_an_answer_tells_that_a_job_exists(scene: Scene) -> None:
    """Medians in turns: what differs is a fraction of the time of one read."""
    took: dict[str, list[float]] = {scene.ended: [], UNKNOWN: []}
    for _ in range(TIMED_REQUESTS):
        for job_id, times in took.items():
            began = time.perf_counter()
            assert scene.attacker.client.get(f"/jobs/{job_id}/status").status_code == 404
            times.append(time.perf_counter() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert abs(known - unknown) < max(0.5 * unknown, 0.002), (known, unknown)


@attack
def the_time_of_an_answer_tells_the_secret(scene: Scene) -> None:
    """The digests of secrets are compared, in constant time: a right beginning of the secret has another digest."""
    right = scene.token.rpartition("_")[2]
    digests = [hashlib.sha256(text.encode()).digest() for text in (right, right[:-1] + "!")]
    assert sum(a == b for a, b in zip(*digests, strict=True)) < 8
    refused(scene.get(**bearer(scene.token[:-1] + ("a" if scene.token[-1] != "a" else "b"))))


@attack
def secrets_in_the_log(scene: Scene) -> None:
    scene.get(**bearer(scene.token))
    logs = "".join(scene.system.log(name) for name in scene.system.processes)
    assert scene.token not in logs
    assert scene.token.rpartition("_")[2] not in logs
