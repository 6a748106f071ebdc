"""A release from nothing to nothing: installed in an empty namespace, used, restored from a backup, taken away, found again."""

import json
import re
from typing import Any

import pytest
from e2e.cluster import ROOT, Api, Namespace, run, until
from kubernetes import client


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    namespace.install("worker.drainSeconds=5", "api.preStopSeconds=1", "api.drainSeconds=5", "controller.preStopSeconds=1")
    return namespace


@pytest.fixture
def api(installed: Namespace) -> Api:
    return installed.api()


def test_the_three_calls_of_a_client_go_through_the_service(api: Api) -> None:
    answer = api.http.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"})
    assert answer.status_code == 202
    job = answer.json()["job_id"]
    assert answer.json() == {"job_id": job, "status": "PENDING"}
    api.until_status(job, "SUCCESS")
    assert api.http.get(f"/jobs/{job}/status").json() == {"status": "SUCCESS"}
    assert api.http.get(f"/jobs/{job}/result").json() == {"job_id": job, "status": "SUCCESS", "result": 14.0}
    assert "swagger" in api.http.get("/docs").text.lower()
    assert api.http.get("/readyz").status_code == 200


def test_every_pod_is_ready_and_none_was_started_twice(installed: Namespace) -> None:
    counts = {"api": 2, "worker": 1, "controller": 2, "migrate": 1}
    assert {component: len(installed.pods(component)) for component in counts} == counts
    for pod in installed.pods():
        statuses = pod.status.container_statuses
        assert [status.restart_count for status in statuses] == [0], pod.metadata.name
        assert statuses[0].ready is (pod.metadata.labels["app.kubernetes.io/component"] != "migrate"), pod.metadata.name


def test_only_workers_hold_a_token(installed: Namespace) -> None:
    def tokens(pod: Any) -> bool:
        return any(volume.projected for volume in pod.spec.volumes)

    assert {pod.metadata.labels["app.kubernetes.io/component"] for pod in installed.pods() if tokens(pod)} == {"worker"}


def test_workers_may_patch_pods_and_nothing_else(installed: Namespace) -> None:
    (worker,) = installed.pods("worker")
    account = f"system:serviceaccount:{installed.name}:{worker.spec.service_account_name}"

    reviews: Any = client.AuthorizationV1Api()

    def may(verb: str, kind: str) -> bool:
        review = {"spec": {"user": account, "resourceAttributes": {"namespace": installed.name, "verb": verb, "resource": kind}}}
        return bool(reviews.create_subject_access_review(review).status.allowed)

    assert may("patch", "pods")
    assert not [(verb, kind) for verb in ("list", "delete", "create") for kind in ("pods", "secrets") if may(verb, kind)]
    assert not may("get", "secrets")


def test_helm_test_is_green(installed: Namespace) -> None:
    assert "Succeeded" in installed.helm("test", "jobproc")


def test_an_upgrade_that_changes_nothing_starts_no_pod_anew(installed: Namespace) -> None:
    before = {pod.metadata.uid for pod in installed.pods() if pod.metadata.labels["app.kubernetes.io/component"] != "migrate"}
    installed.helm("upgrade", "jobproc", str(ROOT / "charts" / "jobproc"), "--reuse-values", "--wait")
    after = {pod.metadata.uid for pod in installed.pods() if pod.metadata.labels["app.kubernetes.io/component"] != "migrate"}
    assert before == after


def test_a_changed_setting_starts_new_pods(installed: Namespace) -> None:
    before = set(installed.ready("worker"))
    installed.helm("upgrade", "jobproc", str(ROOT / "charts" / "jobproc"), "--reuse-values", "--set", "settings.JOBPROC_TICK_SECONDS=0.5", "--wait")
    assert before.isdisjoint(installed.until_ready("worker", 1))


def test_the_backup_that_the_howto_makes_can_be_restored_as_it_says(installed: Namespace, api: Api, tmp_path: Any) -> None:
    """Every command of docs/howto/backup.md, as it stands there."""
    kept = api.submit("square_sum", 3)
    api.until_status(kept, "SUCCESS")
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "howto" / "backup.md").read_text(), re.MULTILINE | re.DOTALL)
    save, stop, load, start = [
        "\n".join(
            line for line in block.replace("-n jobproc ", f"-n {installed.name} ").splitlines() if "# only with KEDA" not in line and "# with KEDA" not in line
        )
        for block in blocks
    ]
    run("bash", "-ec", f"cd {tmp_path}\n{save}")
    api.until_status(api.submit("square_sum", 4), "SUCCESS")
    lost = api.submit("square_sum", 5)
    run("bash", "-ec", f"cd {tmp_path}\n{stop}", limit_s=300)
    run("bash", "-ec", f"cd {tmp_path}\n{load}")
    run("bash", "-ec", f"cd {tmp_path}\n{start}")
    installed.until_ready("api", 2)
    installed.until_ready("worker", 1)
    again = installed.api()
    assert again.job(kept)["result"] == 9.0
    assert again.http.get(f"/jobs/{lost}").status_code == 404
    assert again.until_status(again.submit("square_sum", 6), "SUCCESS")["result"] == 36.0


def kinds_left(namespace: Namespace) -> set[str]:
    """Return the kinds of what is left in the namespace, without what every namespace has and what goes by itself."""
    kinds = run("kubectl", "api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    of_its_own = re.compile(r"^(events|configmaps/kube-root-ca|serviceaccounts/default|secrets/sh\.helm|externalmetrics|pods\.metrics)")
    listed = namespace.kubectl("get", ",".join(kind for kind in kinds if not of_its_own.match(kind)), "--ignore-not-found", "--output", "json", limit_s=300)
    found = {f"{item['kind']} {item['metadata']['name']}" for item in json.loads(listed or '{"items": []}')["items"]}
    return {one for one in found if one.split()[1] not in {"kube-root-ca.crt", "default"}}


def test_uninstall_leaves_the_claim_only_and_a_new_install_finds_the_jobs(installed: Namespace) -> None:
    api = installed.api()
    job = api.submit("cube_sum", 2)
    api.until_status(job, "SUCCESS")
    claims = {claim.metadata.name for claim in installed.core.list_namespaced_persistent_volume_claim(installed.name).items}
    installed.helm("uninstall", "jobproc", "--wait")
    until("the pods are gone", lambda: not installed.core.list_namespaced_pod(installed.name).items, 120)
    left = until("all else is gone", lambda: found if len(found := kinds_left(installed)) == len(claims) else None, 60)
    assert left == {f"PersistentVolumeClaim {claim}" for claim in claims}

    installed.install()
    found = installed.api().job(job)
    assert (found["status"], found["result"]) == ("SUCCESS", 8.0)
