"""The environment of a run in a cluster: a release of the chart in its own namespace, with stable ports to its pods."""

import json
import subprocess
import threading
import uuid
from contextlib import suppress
from typing import Any

from e2e.cluster import Namespace, forward, until
from kubernetes import config
from rig.proxy import Proxy

from faults.environment import AUTHENTICATED, MAX_CRASHES, FaultEnvironment, PatientDatabase

REPLICAS = {"api": 2, "worker": 2, "controller": 2}
LEASE_S, HEARTBEAT_S = 6.0, 1.0
RECOVERY_S = 20.0  # after PostgreSQL is available again: its readiness, and a time limit of a read
LEDGER = "ledger"


class ForwardedPort:
    """A port of this machine that leads to a service or pod, also after the pod behind it has been replaced."""

    def __init__(self, namespace: str, target: str, port: int) -> None:
        self._destination = namespace, target, port
        self._process: subprocess.Popen[str]
        self._process, local_port = until(f"a forwarded port to {target}", self._forward, 60)
        self._proxy = Proxy(local_port)
        self.port = self._proxy.port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._reforward, name=f"forward {target}")
        self._thread.start()

    def _forward(self) -> "tuple[subprocess.Popen[str], int] | None":
        with suppress(AssertionError):
            return forward(*self._destination)
        return None

    def _reforward(self) -> None:
        while not self._done.wait(0.2):
            if self._process.poll() is not None and (forwarded := self._forward()):
                self._process.communicate()
                self._process, self._proxy.target = forwarded

    def close(self) -> None:
        """Stop forwarding."""
        self._done.set()
        self._thread.join()
        self._process.kill()
        self._process.communicate()
        self._proxy.close()


class ClusterEnvironment(FaultEnvironment):
    """Two APIs, workers and controllers each, with the bundled PostgreSQL and Redis."""

    recovery_s = RECOVERY_S
    lease_s, heartbeat_s = LEASE_S, HEARTBEAT_S
    drain_s = 3 * LEASE_S + 20.0  # and pods that start
    wait_s = 2.0 + 3.0  # two ticks, and a claim
    fair_wait_s = 1.0 + 1.0 + 3.0  # JOBPROC_BATCH_MAX_SECONDS, the longest job, and a claim

    def _start(self) -> None:
        config.load_kube_config()  # type: ignore[no-untyped-call]  # the client has no type for it
        self.namespace = Namespace(f"faults-{uuid.uuid4().hex[:5]}")
        self._stack.callback(self.namespace.close)
        claim = {
            "metadata": {"name": LEDGER},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
        }
        self.namespace.core.create_namespaced_persistent_volume_claim(self.namespace.name, claim)
        self.namespace.install(
            *[f"{part}.replicas={count}" for part, count in REPLICAS.items()],
            *self._with_ledger(self.namespace.operations()),
            f"settings.JOBPROC_LEASE_SECONDS={LEASE_S:g}",
            f"settings.JOBPROC_HEARTBEAT_SECONDS={HEARTBEAT_S:g}",
            f"settings.JOBPROC_MAX_CRASHES={MAX_CRASHES}",
            "worker.drainSeconds=5",
            *[f"settings.{name}={value}" for name, value in AUTHENTICATED.items() if name != "JOBPROC_AUTHENTICATION"],
        )
        self.postgres_url = self.namespace.database_url(
            "jobproc-postgresql", self._forwarded_port("pod/jobproc-postgresql-0", 5432)
        )
        self.database = PatientDatabase(self.postgres_url)
        self.url = f"http://127.0.0.1:{self._forwarded_port('service/jobproc-api', 8000)}"

    def _with_ledger(self, values: list[str]) -> list[str]:
        """Return the values with a volume, beside the operations, to which every worker writes its effects."""
        changed = []
        for value in values:
            name, _, text = value.partition("=")
            entries = json.loads(text)
            if name == "worker.extraVolumes":
                entries.append({"name": LEDGER, "persistentVolumeClaim": {"claimName": LEDGER}})
            elif name == "worker.extraVolumeMounts":
                entries.append({"name": LEDGER, "mountPath": "/ledger"})
            else:
                entries = [
                    {**variable, "value": "/ledger"} if variable["name"] == "JOBPROC_TEST_FOLDER" else variable
                    for variable in entries
                ]
            changed.append(f"{name}={json.dumps(entries)}")
        return changed

    def _forwarded_port(self, target: str, port: int) -> int:
        forwarded = ForwardedPort(self.namespace.name, target, port)
        self._stack.callback(forwarded.close)
        return forwarded.port

    def effects(self) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        pod = self.namespace.until_ready("worker", REPLICAS["worker"])[0]
        return [
            json.loads(line)
            for line in self.namespace.kubectl("exec", pod, "--", "cat", "/ledger/effects.jsonl").splitlines()
        ]

    def impossible_faults(self) -> dict[str, str]:
        """Return the faults that cannot be injected here: none."""
        return {}

    def delete_pod(self, pod: str, *, gracefully: bool = False) -> None:
        """Delete a pod and wait until it is gone. Unless `gracefully`, its processes get SIGKILL."""
        self.namespace.delete_pod(pod, gracefully=gracefully, limit_s=90)

    def until_complete(self, component: str) -> None:
        """Wait until all pods of a component are ready."""
        self.namespace.until_ready(component, REPLICAS[component])
