"""A namespace of a real cluster and what a test does in it: releases, pods, ways to the services, load."""

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
from rig.system import until as looked_for

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "jobproc"
OPERATIONS = ROOT / "tests" / "operations"
#: As everywhere in the tests, but with pauses that leave a small cluster its processors.
until = partial(looked_for, pause_s=0.25)
READY_S = 180
LEAST_S = 10.0  # of load, so that there is some before and after what a test does meanwhile
#: The images of this version, and of one that has a migration more (`make e2e-images`); a tag is added to each.
IMAGES = {part: os.environ.get(f"JOBPROC_E2E_{part.upper()}", f"jobproc-{part}") for part in ("api", "worker")}
TAG, NEXT = os.environ.get("JOBPROC_E2E_TAG", "e2e"), os.environ.get("JOBPROC_E2E_NEXT", "e2e-next")
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def run(*command: str, limit_s: float = 120, check: bool = True, given: str | None = None) -> str:
    """Run a program and return its output. Fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False, input=given)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def forward(namespace: str, target: str, port: int) -> tuple["subprocess.Popen[str]", int]:
    """Forward a port of a service or pod to this machine; returns the process that does it, and the local port."""
    command = ["kubectl", "--namespace", namespace, "port-forward", "--address", "127.0.0.1", target, f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline() if process.stdout else ""
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    if not found:
        process.kill()
        process.communicate()
    assert found, f"no way to {target}: {line}"
    return process, int(found.group(1))


class Namespace:
    """A namespace that takes restricted pods only."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Any: bodies are plain objects here, its types know its models alone.
        self.core: Any
        self.apps: Any
        self.core, self.apps = client.CoreV1Api(), client.AppsV1Api()
        self._forwards: list[subprocess.Popen[str]] = []
        self._ways: list[Database | Api] = []
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "jobproc-e2e": "true"}
        self.core.create_namespace({"metadata": {"name": name, "labels": labels}})

    def close(self) -> None:
        """Take the namespace back; does not wait for it."""
        for way in self._ways:
            way.close()
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
        """Install jobproc and wait for it; `sets`: `key=value` as for --set-json where the value is JSON, else for --set."""
        values = [f"images.{part}.repository={name}" for part, name in IMAGES.items()] + [f"images.{part}.tag={tag}" for part in IMAGES]
        arguments = [option for value in [*values, *sets] for option in ("--set-json" if re.search(r"=[\[{]", value) else "--set", value)]
        return self.helm("install", release, str(CHART), *arguments, "--wait", "--timeout", f"{READY_S}s")

    def operations(self) -> list[str]:
        """Put the operations of the tests into a ConfigMap; returns the values by which the workers know them."""
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
        """Return the pods of jobproc, or of one of its components, that are not being deleted."""
        role = "app.kubernetes.io/component"
        selector = f"{role}={component}" if component else role
        return [pod for pod in self.core.list_namespaced_pod(self.name, label_selector=selector).items if not pod.metadata.deletion_timestamp]

    def ready(self, component: str) -> list[str]:
        """Return the names of a component's ready pods."""
        return [pod.metadata.name for pod in self.pods(component) if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])]

    def ready_pod(self, name: str) -> bool:
        """Return whether one pod is there and ready."""
        with contextlib.suppress(client.ApiException):
            conditions = self.core.read_namespaced_pod(name, self.name).status.conditions or []
            return any(one.type == "Ready" and one.status == "True" for one in conditions)
        return False

    def until_ready(self, component: str, count: int, limit_s: float = READY_S) -> list[str]:
        """Wait until exactly so many pods of a component exist and are ready."""
        return list(
            until(
                f"{count} ready pods of {component}",
                lambda: (names,) if len(names := self.ready(component)) == len(self.pods(component)) == count else None,
                limit_s,
            )[0]
        )

    def delete_pod(self, pod: str, *, told: bool, limit_s: float = 60) -> None:
        """Delete a pod and wait until it is gone; `told`: with its grace, else as an operator in need does: its processes get SIGKILL."""
        uid = self.core.read_namespaced_pod(pod, self.name).metadata.uid
        self.kubectl("delete", "pod", pod, *(() if told else ("--force", "--grace-period=0")))
        until(f"{pod} is gone", lambda: uid not in [one.metadata.uid for one in self.core.list_namespaced_pod(self.name).items], limit_s)

    def scale(self, deployment: str, replicas: int) -> None:
        self.apps.patch_namespaced_deployment_scale(deployment, self.name, {"spec": {"replicas": replicas}})

    def replicas(self, deployment: str) -> tuple[int, int]:
        """Return how many pods a Deployment wants, and how many are ready."""
        found = self.apps.read_namespaced_deployment(deployment, self.name)
        return found.spec.replicas, found.status.ready_replicas or 0

    def describe(self) -> str:
        """Return what a failed test wants to know."""
        pods = [pod.metadata.name for pod in self.core.list_namespaced_pod(self.name).items]
        logs = [f"--- {pod}\n" + self.kubectl("logs", pod, "--all-containers", "--tail", "15", check=False) for pod in pods]
        return "\n".join([self.kubectl("get", "pods,events", "--output", "wide", check=False), *logs])

    # --- ways in

    def forward(self, target: str, port: int) -> int:
        """Forward a port of a service or pod to this machine while the namespace is there; returns the local port."""
        process, local = forward(self.name, target, port)
        self._forwards.append(process)
        return local

    def api(self, service: str = "jobproc-api") -> "Api":
        """Return a client of the API, through its Service."""
        made = Api(f"http://127.0.0.1:{self.forward(f'service/{service}', 8000)}")
        self._ways.append(made)
        return made

    def database_url(self, release: str, port: int) -> str:
        """Return the URL of the bundled database by a port of this machine."""
        return f"postgresql://jobproc:{self.password(release)}@127.0.0.1:{port}/jobproc"

    def password(self, secret: str) -> str:
        """Return the password that a Secret holds."""
        return b64decode(self.core.read_namespaced_secret(secret, self.name).data["password"]).decode()

    def database(self, release: str = "jobproc-postgresql") -> Database:
        """Return a look into the bundled database."""
        made = Database(self.database_url(release, self.forward(f"pod/{release}-0", 5432)))
        self._ways.append(made)
        return made

    def pod(self, name: str, image: str, command: Sequence[str], files: Sequence[Path] = ()) -> None:
        """Start a restricted pod that runs once; `files` are in /files."""
        data = {file.name: file.read_text() for file in files}
        self.core.create_namespaced_config_map(self.name, {"metadata": {"name": name}, "data": data})
        container = {
            "name": "main",
            "image": image,
            "command": list(command),
            "securityContext": RESTRICTED,
            "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "tmp", "mountPath": "/tmp"}],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "files", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}],
        }
        self.core.create_namespaced_pod(self.name, {"metadata": {"name": name}, "spec": spec})

    def log(self, pod: str) -> str:
        with contextlib.suppress(client.ApiException):  # not started yet
            return str(self.core.read_namespaced_pod_log(pod, self.name))
        return ""

    @contextlib.contextmanager
    def load(self, name: str, rate: float = 40, wait_s: float = 120) -> Iterator["Report"]:
        """Submit jobs from a pod while the block runs; after it the report says what the client saw. Every accepted job has ended by then."""
        arguments = ["jobproc-api:8000", str(rate), str(wait_s)]
        report = Report()
        self.pod(name, f"{IMAGES['api']}:{TAG}", ["python", "-u", "/files/client.py", *arguments], [Path(__file__).with_name("client.py")])
        until(f"{name} is accepted", lambda: "accepting" in self.log(name), 60)
        began = time.monotonic()
        try:
            yield report
            time.sleep(max(0.0, began + LEAST_S - time.monotonic()))
        finally:
            self.kubectl("exec", name, "--", "touch", "/tmp/stop")
            until(f"the report of {name}", lambda: "unfinished" in self.log(name), wait_s + 60)
            report.update(json.loads(self.log(name).splitlines()[-1]))


class Report(dict[str, Any]):
    """What a client saw."""

    def shows_no_loss(self, *also: str, least: int = 100) -> None:
        """Fail unless every accepted job ended with the right result, and no answer but 202 came; `also`: what may have come besides."""
        assert self["wrong"] == {}, self
        assert self["unfinished"] == [], self
        assert self["right"] == self["accepted"] >= least, self
        unexpected = {answer for answer in self["answers"] if answer != "202" and answer not in also}
        assert not unexpected, self


class Api:
    """The HTTP API as a test uses it."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=15)

    def close(self) -> None:
        self.http.close()

    def submit(self, operation: str, *data: float) -> str:
        answer = self.http.post("/jobs/", json={"data": list(data), "operation": operation})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def submit_many(self, operation: str, inputs: Sequence[Sequence[float]]) -> list[str]:
        answer = self.http.post("/jobs/batch", json=[{"data": list(data), "operation": operation} for data in inputs])
        assert answer.status_code == 202, answer.text
        return list(answer.json()["job_ids"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/jobs/{job_id}").raise_for_status().json())

    def until_status(self, job_id: str, status: str, limit_s: float = 60) -> dict[str, Any]:
        return dict(until(f"{job_id} is {status}", lambda: job if (job := self.job(job_id))["status"] == status else None, limit_s))
