"""The life of a release: install in an empty namespace, use, restore from a backup, uninstall, install again."""

import json
import re
from typing import Any

import httpx
import pytest
from e2e.cluster import CHART, KEY_REF, ROOT, Api, Namespace, run, until
from kubernetes import client

COMPONENT = "app.kubernetes.io/component"
PARTS = ("api", "worker", "controller")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    namespace.install(
        "worker.drainSeconds=5", "api.preStopSeconds=1", "api.drainSeconds=5", "controller.preStopSeconds=1"
    )
    return namespace


@pytest.fixture
def api(installed: Namespace) -> Api:
    return installed.api()


def test_submit_status_and_result_work_through_the_service(api: Api) -> None:
    response = api.http.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"})
    assert response.status_code == 202
    job = response.json()["job_id"]
    assert response.json() == {"job_id": job, "status": "PENDING"}
    api.until_status(job, "SUCCESS")
    assert api.http.get(f"/jobs/{job}/status").json() == {"status": "SUCCESS"}
    assert api.http.get(f"/jobs/{job}/result").json() == {"job_id": job, "status": "SUCCESS", "result": 14.0}
    assert "swagger" in api.http.get("/docs").text.lower()
    assert api.http.get("/readyz").status_code == 200


def test_a_request_needs_a_key(api: Api) -> None:
    assert httpx.get(f"{api.http.base_url}/stats").status_code == 401
    assert api.http.get("/stats").status_code == 200


def test_every_pod_is_ready_and_none_was_restarted(installed: Namespace) -> None:
    counts = {"api": 2, "worker": 1, "controller": 2, "migrate": 1}
    assert {component: len(installed.pods(component)) for component in counts} == counts
    for pod in installed.pods():
        statuses = pod.status.container_statuses
        assert [status.restart_count for status in statuses] == [0], pod.metadata.name
        assert statuses[0].ready is (pod.metadata.labels[COMPONENT] != "migrate"), pod.metadata.name


def test_only_controllers_have_a_service_account_token(installed: Namespace) -> None:
    def has_token(pod: Any) -> bool:
        return any(volume.projected for volume in pod.spec.volumes)

    assert {pod.metadata.labels[COMPONENT] for pod in installed.pods() if has_token(pod)} == {"controller"}


def test_controllers_may_list_and_patch_pods_and_workers_nothing(installed: Namespace) -> None:
    reviews: Any = client.AuthorizationV1Api()

    def allowed(component: str) -> set[tuple[str, str]]:
        account = f"system:serviceaccount:{installed.name}:{installed.pods(component)[0].spec.service_account_name}"
        rights = [(verb, kind) for verb in VERBS for kind in ("pods", "secrets", "deployments")]

        def may(verb: str, kind: str) -> bool:
            attributes = {"namespace": installed.name, "verb": verb, "resource": kind}
            review = {"spec": {"user": account, "resourceAttributes": attributes}}
            return bool(reviews.create_subject_access_review(review).status.allowed)

        return {(verb, kind) for verb, kind in rights if may(verb, kind)}

    assert allowed("controller") == {("list", "pods"), ("patch", "pods")}
    assert allowed("worker") == allowed("api") == set()


def test_each_part_is_connected_with_its_own_role_and_user(installed: Namespace) -> None:
    database = installed.database()
    users = "SELECT DISTINCT usename FROM pg_stat_activity WHERE usename LIKE 'jobproc\\_%'"
    roles = {(f"jobproc_{part}",) for part in PARTS}
    until("each part is connected", lambda: set(database.rows(users)) == roles)
    assert database.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE 'jobproc\\_%' AND rolsuper") == []
    listed = installed.kubectl(
        "exec", "jobproc-redis-0", "--", "sh", "-c", "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -h 127.0.0.1 client list"
    )
    connected = set(re.findall(r" user=(\S+)", listed))
    assert {"api", "worker"} <= connected <= {*PARTS, "default", "health"}, "the controller connects when it rings"


def test_helm_test_succeeds(installed: Namespace) -> None:
    assert "Succeeded" in installed.helm("test", "jobproc")


def test_an_upgrade_without_changes_replaces_no_pod(installed: Namespace) -> None:
    def uids() -> set[str]:
        return {pod.metadata.uid for pod in installed.pods() if pod.metadata.labels[COMPONENT] != "migrate"}

    before, key = uids(), installed.secret(KEY_REF["name"], "api-key")
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--wait")
    assert uids() == before
    assert installed.secret(KEY_REF["name"], "api-key") == key, "it is kept"


def test_a_changed_setting_replaces_the_pods(installed: Namespace) -> None:
    before = set(installed.ready("worker"))
    setting = "settings.JOBPROC_TICK_SECONDS=0.5"
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", setting, "--wait")
    assert before.isdisjoint(installed.until_ready("worker", 1))


def test_the_commands_of_the_backup_howto_back_up_and_restore(installed: Namespace, api: Api, tmp_path: Any) -> None:
    """The commands are those of docs/howto/backup.md, unchanged but for the namespace."""
    saved = api.submit("square_sum", 3)
    api.until_status(saved, "SUCCESS")
    blocks = re.findall(
        r"^```\n(.*?)^```", (ROOT / "docs" / "howto" / "backup.md").read_text(), re.MULTILINE | re.DOTALL
    )
    save, stop, restore, start = [
        "\n".join(
            line
            for line in block.replace("-n jobproc ", f"-n {installed.name} ").splitlines()
            if "# only with KEDA" not in line and "# with KEDA" not in line
        )
        for block in blocks
    ]
    run("bash", "-ec", f"cd {tmp_path}\n{save}")
    api.until_status(api.submit("square_sum", 4), "SUCCESS")
    lost = api.submit("square_sum", 5)
    run("bash", "-ec", f"cd {tmp_path}\n{stop}", limit_s=300)
    run("bash", "-ec", f"cd {tmp_path}\n{restore}")
    run("bash", "-ec", f"cd {tmp_path}\n{start}")
    installed.until_ready("api", 2)
    installed.until_ready("worker", 1)
    restored = installed.api()
    assert restored.job(saved)["result"] == 9.0
    assert restored.http.get(f"/jobs/{lost}").status_code == 404
    assert restored.until_status(restored.submit("square_sum", 6), "SUCCESS")["result"] == 36.0


def remaining_objects(namespace: Namespace) -> set[str]:
    """Return kind and name of the remaining objects, except those that every namespace has and those that expire."""
    kinds = run("kubectl", "api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    ignored = re.compile(
        r"^(events|configmaps/kube-root-ca|serviceaccounts/default|secrets/sh\.helm|externalmetrics|pods\.metrics)"
    )
    listed = namespace.kubectl(
        "get",
        ",".join(kind for kind in kinds if not ignored.match(kind)),
        "--ignore-not-found",
        "--output",
        "json",
        limit_s=300,
    )
    items = json.loads(listed or '{"items": []}')["items"]
    return {
        f"{item['kind']} {item['metadata']['name']}"
        for item in items
        if item["metadata"]["name"] not in {"kube-root-ca.crt", "default"}
    }


def test_uninstall_leaves_the_volume_claim_and_the_first_key_for_a_new_install(
    installed: Namespace,
) -> None:
    api = installed.api()
    job = api.submit("cube_sum", 2)
    api.until_status(job, "SUCCESS")
    claims = {
        claim.metadata.name for claim in installed.core.list_namespaced_persistent_volume_claim(installed.name).items
    }
    key = installed.secret(KEY_REF["name"], "api-key")
    kept = {f"Secret {KEY_REF['name']}", *(f"PersistentVolumeClaim {claim}" for claim in claims)}
    installed.helm("uninstall", "jobproc", "--wait")
    until("the pods are gone", lambda: not installed.core.list_namespaced_pod(installed.name).items, 120)
    remaining = until(
        "all other objects are gone",
        lambda: objects if len(objects := remaining_objects(installed)) == len(kept) else None,
        60,
    )
    assert remaining == kept

    installed.install()
    assert installed.secret(KEY_REF["name"], "api-key") == key
    details = installed.api().job(job)
    assert (details["status"], details["result"]) == ("SUCCESS", 8.0)
