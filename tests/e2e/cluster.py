"""A namespace of a real cluster: releases, pods, port forwards, load."""

import contextlib
import json
import os
import re
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client
from rig.system import Database
from rig.system import until as poll_until

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "jobproc"
OPERATIONS = ROOT / "tests" / "operations"
#: With longer pauses than in other tests, which spares the CPUs of a small cluster.
until = partial(poll_until, pause_s=0.25)
READY_S = 180
MIN_LOAD_S = 10.0  # there is load before and after the action of a test
#: The images of this version, and of a version with one more migration (`make e2e-images`), without their tags.
IMAGES = {part: os.environ.get(f"JOBPROC_E2E_{part.upper()}", f"jobproc-{part}") for part in ("api", "worker")}
TAG, NEXT = os.environ.get("JOBPROC_E2E_TAG", "e2e"), os.environ.get("JOBPROC_E2E_NEXT", "e2e-next")
KEY_REF = {"name": "jobproc-first-api-key", "key": "api-key"}
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def run(*command: str, limit_s: float = 120, check: bool = True, stdin: str | None = None) -> str:
    """Run a program and return its output. Fails with its output if `check` is set and its exit code is not 0."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False, input=stdin)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def forward(namespace: str, target: str, port: int) -> tuple["subprocess.Popen[str]", int]:
    """Forward a port of a service or pod to this machine. Returns the forwarding process and the local port."""
    command = ["kubectl", "--namespace", namespace, "port-forward", "--address", "127.0.0.1", target, f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline() if process.stdout else ""
    local = re.search(r"127\.0\.0\.1:(\d+)", line)
    if not local:
        process.kill()
        process.communicate()
    assert local, f"{target} cannot be forwarded: {line}"
    return process, int(local.group(1))


class Namespace:
    """A namespace that accepts only pods of the level `restricted`."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Any: bodies are plain dictionaries here, but the client's types accept its models only.
        self.core: Any
        self.apps: Any
        self.core, self.apps = client.CoreV1Api(), client.AppsV1Api()
        self._forwards: list[subprocess.Popen[str]] = []
        self._connections: list[Database | Api] = []
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "jobproc-e2e": "true"}
        self.core.create_namespace({"metadata": {"name": name, "labels": labels}})

    def close(self) -> None:
        """Delete the namespace, without waiting for its end."""
        for connection in self._connections:
            connection.close()
        for forward in self._forwards:
            forward.kill()
            forward.communicate()
        self.core.delete_namespace(self.name)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return run("kubectl", "--namespace", self.name, *arguments, **options)

    # --- releases

    def helm(self, verb: str, *arguments: str, limit_s: float = READY_S) -> str:
        """Run helm in this namespace."""
        return run("helm", verb, "--namespace", self.name, *arguments, limit_s=limit_s + 30)

    def install(self, *sets: str, release: str = "jobproc", tag: str = TAG) -> str:
        """Install jobproc and wait until it is ready. `sets`: `key=value`, for --set-json if the value is JSON."""
        values = [f"images.{part}.repository={name}" for part, name in IMAGES.items()] + [
            f"images.{part}.tag={tag}" for part in IMAGES
        ]
        arguments = [
            option
            for value in [*values, *sets]
            for option in ("--set-json" if re.search(r"=[\[{]", value) else "--set", value)
        ]
        return self.helm("install", release, str(CHART), *arguments, "--wait", "--timeout", f"{READY_S}s")

    def operations(self) -> list[str]:
        """Create a ConfigMap with the operations of the tests. Returns the values that mount it in the workers."""
        information = next(OPERATIONS.glob("*.dist-info"))
        sources = [*OPERATIONS.glob("*.py"), information / "METADATA", information / "entry_points.txt"]
        data = {file.name: file.read_text() for file in sources}
        self.core.create_namespaced_config_map(self.name, {"metadata": {"name": "operations"}, "data": data})
        items = [{"key": file.name, "path": str(file.relative_to(OPERATIONS))} for file in sources]
        volume = {"name": "operations", "configMap": {"name": "operations", "items": items}}
        variables = {"PYTHONPATH": "/app:/operations", "JOBPROC_TEST_FOLDER": "/tmp"}
        return [
            "worker.extraVolumes=" + json.dumps([volume]),
            "worker.extraVolumeMounts=" + json.dumps([{"name": "operations", "mountPath": "/operations"}]),
            "worker.extraEnv=" + json.dumps([{"name": name, "value": value} for name, value in variables.items()]),
        ]

    # --- pods

    def pods(self, component: str = "") -> list[Any]:
        """Return the pods of jobproc, or of one component, that are not being deleted."""
        role = "app.kubernetes.io/component"
        selector = f"{role}={component}" if component else role
        found = self.core.list_namespaced_pod(self.name, label_selector=selector).items
        return [pod for pod in found if not pod.metadata.deletion_timestamp]

    def ready(self, component: str) -> list[str]:
        """Return the names of a component's ready pods."""
        return [pod.metadata.name for pod in self.pods(component) if _is_ready(pod)]

    def ready_pod(self, name: str) -> bool:
        """Return True if a pod exists and is ready."""
        with contextlib.suppress(client.ApiException):
            return _is_ready(self.core.read_namespaced_pod(name, self.name))
        return False

    def until_ready(self, component: str, count: int, limit_s: float = READY_S) -> list[str]:
        """Wait until a component has exactly `count` pods and all are ready. Returns their names."""
        return list(
            until(
                f"{count} ready pods of {component}",
                lambda: (names,) if len(names := self.ready(component)) == len(self.pods(component)) == count else None,
                limit_s,
            )[0]
        )

    def delete_pod(self, pod: str, *, gracefully: bool, limit_s: float = 60) -> None:
        """Delete a pod, with its grace period if `told`, else by SIGKILL, and wait until it is gone."""
        uid = self.core.read_namespaced_pod(pod, self.name).metadata.uid
        self.kubectl("delete", "pod", pod, *(() if gracefully else ("--force", "--grace-period=0")))
        until(
            f"{pod} is gone",
            lambda: uid not in [pod.metadata.uid for pod in self.core.list_namespaced_pod(self.name).items],
            limit_s,
        )

    def scale(self, deployment: str, replicas: int) -> None:
        self.apps.patch_namespaced_deployment_scale(deployment, self.name, {"spec": {"replicas": replicas}})

    def replicas(self, deployment: str) -> tuple[int, int]:
        """Return the desired and the ready replicas of a Deployment."""
        answer = self.apps.read_namespaced_deployment(deployment, self.name)
        return answer.spec.replicas, answer.status.ready_replicas or 0

    def describe(self) -> str:
        """Return the pods, events and last log lines, for a failed test."""
        pods = [pod.metadata.name for pod in self.core.list_namespaced_pod(self.name).items]
        logs = [
            f"--- {pod}\n" + self.kubectl("logs", pod, "--all-containers", "--tail", "15", check=False) for pod in pods
        ]
        return "\n".join([self.kubectl("get", "pods,events", "--output", "wide", check=False), *logs])

    # --- connections

    def forward(self, target: str, port: int) -> int:
        """Forward a port of a service or pod to this machine until `close`. Returns the local port."""
        process, local_port = forward(self.name, target, port)
        self._forwards.append(process)
        return local_port

    def api(self, service: str = "jobproc-api") -> "Api":
        """Return a client of the API, through its Service."""
        key = self.secret(re.sub("api$", "first-api-key", service), "api-key")
        api = Api(f"http://127.0.0.1:{self.forward(f'service/{service}', 8000)}", key)
        self._connections.append(api)
        return api

    def database_url(self, release: str, port: int) -> str:
        """Return the URL of the bundled database at a forwarded port."""
        return f"postgresql://jobproc:{self.password(release)}@127.0.0.1:{port}/jobproc"

    def secret(self, name: str, key: str) -> str:
        """Return the value of a key of a Secret."""
        return b64decode(self.core.read_namespaced_secret(name, self.name).data[key]).decode()

    def password(self, secret: str) -> str:
        return self.secret(secret, "password")

    def database(self, release: str = "jobproc-postgresql") -> Database:
        """Return a connection to the bundled database."""
        database = Database(self.database_url(release, self.forward(f"pod/{release}-0", 5432)))
        self._connections.append(database)
        return database

    def pod(self, name: str, image: str, command: Sequence[str], files: Sequence[Path] = (), port: int = 0) -> None:
        """Start a restricted pod that runs once, with `files` in /files; ready when it listens on `port`, if any."""
        data = {file.name: file.read_text() for file in files}
        self.core.create_namespaced_config_map(self.name, {"metadata": {"name": name}, "data": data})
        container: dict[str, Any] = {
            "name": "main",
            "image": image,
            "command": list(command),
            "env": [{"name": "JOBPROC_API_KEY", "valueFrom": {"secretKeyRef": {**KEY_REF, "optional": True}}}],
            "securityContext": RESTRICTED,
            "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "tmp", "mountPath": "/tmp"}],
        }
        if port:  # forwarding ends with the first refused connection
            container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "files", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}],
        }
        self.core.create_namespaced_pod(self.name, {"metadata": {"name": name}, "spec": spec})

    def log(self, pod: str) -> str:
        with contextlib.suppress(client.ApiException):  # the pod has not started yet
            return str(self.core.read_namespaced_pod_log(pod, self.name))
        return ""

    @contextlib.contextmanager
    def load(self, name: str, rate: float = 40, wait_s: float = 120) -> Iterator["Report"]:
        """Submit jobs from a pod while the block runs; then wait until all have finished, and fill the report."""
        report = Report()
        self.pod(
            name,
            f"{IMAGES['api']}:{TAG}",
            ["python", "-u", "/files/client.py", "jobproc-api:8000", str(rate), str(wait_s)],
            [Path(__file__).with_name("client.py")],
        )
        until(f"jobs of {name} are accepted", lambda: "accepting" in self.log(name), 60)
        began = time.monotonic()
        try:
            yield report
            time.sleep(max(0.0, began + MIN_LOAD_S - time.monotonic()))
        finally:
            self.kubectl("exec", name, "--", "touch", "/tmp/stop")
            until(f"the report of {name}", lambda: "unfinished" in self.log(name), wait_s + 60)
            report.update(json.loads(self.log(name).splitlines()[-1]))


def _is_ready(pod: Any) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or [])


class Report(dict[str, Any]):
    """The report of `client.py`."""

    def shows_no_loss(self, *also: str, min_jobs: int = 100) -> None:
        """Fail unless every accepted job has the right result and every answer was 202 or is in `also`."""
        assert self["wrong"] == {}, self
        assert self["unfinished"] == [], self
        assert self["right"] == self["accepted"] >= min_jobs, self
        unexpected = {answer for answer in self["answers"] if answer != "202" and answer not in also}
        assert not unexpected, self


class Api:
    """A client of the HTTP API."""

    def __init__(self, url: str, key: str, **options: Any) -> None:
        self.http = httpx.Client(base_url=url, timeout=15, headers={"Authorization": f"Bearer {key}"}, **options)

    def close(self) -> None:
        self.http.close()

    def submit(self, operation: str, *data: float) -> str:
        response = self.http.post("/jobs/", json={"data": list(data), "operation": operation})
        assert response.status_code == 202, response.text
        return str(response.json()["job_id"])

    def submit_many(self, operation: str, inputs: Sequence[Sequence[float]]) -> list[str]:
        response = self.http.post("/jobs/batch", json=[{"data": list(data), "operation": operation} for data in inputs])
        assert response.status_code == 202, response.text
        return list(response.json()["job_ids"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/jobs/{job_id}").raise_for_status().json())

    def until_status(self, job_id: str, status: str, limit_s: float = 60) -> dict[str, Any]:
        return dict(
            until(
                f"{job_id} is {status}", lambda: job if (job := self.job(job_id))["status"] == status else None, limit_s
            )
        )
