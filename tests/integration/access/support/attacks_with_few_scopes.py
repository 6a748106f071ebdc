"""Attacks with a key that lacks the scope, and by other ways to name a route."""

from integration.access.support.scene import LATER, Scene, attack, refused, with_scopes
from rig.keys import client_of, new_key

from common.domain.tenancy.scopes import Scope


@attack
def a_reader_submits(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_READ) as client:
        for path, body in (("/jobs/", LATER), ("/jobs", LATER), ("/jobs/batch", [LATER]), ("/jobs/batch/", [LATER])):
            refused(client.post(path, json=body), 403)


@attack
def a_writer_cancels(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_WRITE) as client:
        refused(client.post(f"/jobs/{scene.waiting}/cancel"), 403)


@attack
def a_writer_reads_a_result_by_waiting(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_WRITE) as client:
        refused(client.post("/jobs/?wait=1", json={"operation": "square_sum", "data": [1]}), 403)


@attack
def a_writer_reads_a_result_by_an_idempotency_key(scene: Scene) -> None:
    body = {"operation": "square_sum", "data": [1]}
    scene.victim.client.post("/jobs/", json=body, headers={"Idempotency-Key": "paid"})
    with with_scopes(scene, Scope.JOBS_WRITE) as client:
        answer = client.post("/jobs/", json=body, headers={"Idempotency-Key": "paid"})
    assert set(answer.json()) == {"job_id", "status"}


@attack
def a_reader_sees_a_payload(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_READ) as client:
        for path in ("result", "input", "logs", "result?wait=1", "result/", "input/"):
            refused(client.get(f"/jobs/{scene.ended}/{path}"), 403)
        job = client.get(f"/jobs/{scene.ended}").json()
    assert (job["input"], job["result"]) == (None, None)


@attack
def a_reader_guesses_an_input_by_a_filter(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_READ, Scope.BULK) as client:
        for value in ("1", "2"):
            refused(client.get(f"/jobs/?input=data.0={value}"), 403)
            body = {"action": "retry", "filter": {"input": [f"data.0={value}"]}}
            refused(client.post("/bulk-actions", json=body), 403)
        assert client.get("/jobs/?metadata=a=1").status_code == 200


@attack
def a_canceller_prepares_a_bulk_cancel(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_CANCEL) as client:
        refused(client.post("/bulk-actions", json={"action": "cancel", "filter": {}, "all": True}), 403)


@attack
def a_caller_without_scopes_does_anything(scene: Scene) -> None:
    with client_of(scene.system, new_key(scene.system.database, [], scene.victim.tenant)) as client:
        for path in (
            "/jobs/",
            f"/jobs/{scene.ended}",
            "/stats",
            "/operations",
            "/keys",
            "/audit",
            "/bulk-actions",
            "/errors",
        ):
            refused(client.get(path), 403)


@attack
def a_key_maker_makes_itself_an_operator(scene: Scene) -> None:
    with with_scopes(scene, Scope.KEYS) as client:
        refused(client.post("/keys", json={"name": "root", "scopes": ["keys", "admin"]}), 422)
        refused(client.post("/keys", json={"name": "root", "scopes": ["jobs:read"]}), 422)


@attack
def a_key_maker_takes_over_a_stronger_key(scene: Scene) -> None:
    with with_scopes(scene, Scope.KEYS) as client:
        refused(client.post(f"/keys/{scene.key_id}/rotate", json={"overlap_seconds": 0}), 422)


@attack
def a_key_maker_makes_a_key_of_another_tenant(scene: Scene) -> None:
    for member in (
        {"tenant": "default"},
        {"tenant": 1},
        {"created_by": "key:x"},
        {"id": scene.key_id},
        {"digest": "00"},
    ):
        refused(scene.attacker.client.post("/keys", json={"name": "n", "scopes": ["jobs:read"], **member}), 422)


@attack
def a_client_sees_the_tenants(scene: Scene) -> None:
    refused(scene.attacker.client.get("/tenants"), 403)
    refused(scene.attacker.client.post("/tenants", json={"name": "mine"}), 403)


@attack
def a_client_names_another_tenant(scene: Scene) -> None:
    for name in ("default", "victim", "no-such-tenant", "1"):
        refused(scene.attacker.client.get("/jobs/", headers={"Jobproc-Tenant": name}), 403)


@attack
def a_client_names_another_tenant_in_other_places(scene: Scene) -> None:
    for query in ("tenant=victim", "tenant=2", "tenants=1"):
        refused(scene.attacker.client.get(f"/jobs/?{query}"), 422)
    answer = scene.attacker.client.get("/jobs/", headers={"X-Tenant": "victim", "X-Jobproc-Tenant": "victim"})
    assert scene.ended not in answer.text


@attack
def another_method_by_a_header(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_READ) as client:
        for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
            client.get(f"/jobs/{scene.waiting}/cancel", headers={name: "POST"})
            assert client.get("/jobs/", headers={name: "POST"}).status_code == 200


@attack
def another_path_by_a_header(scene: Scene) -> None:
    with with_scopes(scene, Scope.JOBS_READ) as client:
        for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix"):
            assert "keys" not in client.get("/jobs/", headers={name: "/keys"}).json()


@attack
def other_spellings_of_a_path(scene: Scene) -> None:
    for path in ("//keys", "/./keys", "/jobs/../keys", "/jobs/..;/keys", "/%6beys", "/keys%00", "/KEYS", "/keys;x"):
        answer = scene.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert not answer.startswith(b"HTTP/1.1 2"), (path, answer)


@attack
def a_head_request_instead_of_get(scene: Scene) -> None:
    for path in ("/jobs/", f"/jobs/{scene.ended}/result", "/keys"):
        assert scene.system.client.head(path).status_code in (401, 405)
