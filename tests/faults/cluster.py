"""Where a run takes place in a cluster: a release of the chart in a namespace of its own, and ways to it that outlive its pods."""

import json
import subprocess
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from e2e.cluster import Namespace, forward, until
from kubernetes import config
from rig.proxy import Proxy

from faults.environment import MAX_CRASHES, AnyPlace, PatientDatabase

COUNTS = {"api": 2, "worker": 2, "controller": 2}
LEASE_S, HEARTBEAT_S = 6.0, 1.0
BACK_S = 20.0  # after PostgreSQL is back: its readiness, and a time limit of a read
LEDGER = "ledger"


class Way:
    """A port of this machine that leads to a service or pod, also after the pod behind it has been replaced."""

    def __init__(self, namespace: str, target: str, port: int) -> None:
        self._to = namespace, target, port
        self._process: subprocess.Popen[str]
        self._process, local = until(f"a way to {target}", self._forward, 60)
        self._proxy = Proxy(local)
        self.port = self._proxy.port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"way to {target}")
        self._thread.start()

    def _forward(self) -> "tuple[subprocess.Popen[str], int] | None":
        with suppress(AssertionError):
            return forward(*self._to)
        return None

    def _keep(self) -> None:
        while not self._done.wait(0.2):
            if self._process.poll() is not None and (made := self._forward()):
                self._process.communicate()
                self._process, self._proxy.target = made

    def close(self) -> None:
        """Close it."""
        self._done.set()
        self._thread.join()
        self._process.kill()
        self._process.communicate()
        self._proxy.close()


class ClusterPlace(AnyPlace):
    """Two APIs, workers and controllers, with the bundled PostgreSQL and Redis."""

    back_s = BACK_S
    lease_s, heartbeat_s = LEASE_S, HEARTBEAT_S
    drain_s = 3 * LEASE_S + 20.0  # and pods that start
    wait_s = 2.0 + 3.0  # two ticks, and a claim

    def __init__(self, folder: Path) -> None:
        """Install it and wait until it is ready."""
        config.load_kube_config()  # type: ignore[no-untyped-call]  # the client has no type for it
        super().__init__(folder)
        self.namespace = Namespace(f"faults-{uuid.uuid4().hex[:5]}")
        self._ways: list[Way] = []
        try:
            self._install()
        except BaseException:
            self.close()
            raise

    def _install(self) -> None:
        claim = {"metadata": {"name": LEDGER}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}}
        self.namespace.core.create_namespaced_persistent_volume_claim(self.namespace.name, claim)
        self.namespace.install(
            *[f"{part}.replicas={count}" for part, count in COUNTS.items()],
            *self._with_ledger(self.namespace.operations()),
            f"settings.JOBPROC_LEASE_SECONDS={LEASE_S:g}",
            f"settings.JOBPROC_HEARTBEAT_SECONDS={HEARTBEAT_S:g}",
            f"settings.JOBPROC_MAX_CRASHES={MAX_CRASHES}",
            "worker.drainSeconds=5",
        )
        self.postgres_url = self.namespace.database_url("jobproc-postgresql", self._way("pod/jobproc-postgresql-0", 5432))
        self.database = PatientDatabase(self.postgres_url)
        self.url = f"http://127.0.0.1:{self._way('service/jobproc-api', 8000)}"

    def _with_ledger(self, values: list[str]) -> list[str]:
        """Return the values with a volume beside the operations that every worker writes its effects to."""
        made = []
        for value in values:
            name, _, text = value.partition("=")
            entries = json.loads(text)
            if name == "worker.extraVolumes":
                entries.append({"name": LEDGER, "persistentVolumeClaim": {"claimName": LEDGER}})
            elif name == "worker.extraVolumeMounts":
                entries.append({"name": LEDGER, "mountPath": "/ledger"})
            else:
                entries = [{**one, "value": "/ledger"} if one["name"] == "JOBPROC_TEST_FOLDER" else one for one in entries]
            made.append(f"{name}={json.dumps(entries)}")
        return made

    def _way(self, target: str, port: int) -> int:
        way = Way(self.namespace.name, target, port)
        self._ways.append(way)
        return way.port

    def effects(self) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        pod = self.namespace.until_ready("worker", COUNTS["worker"])[0]
        return [json.loads(line) for line in self.namespace.kubectl("exec", pod, "--", "cat", "/ledger/effects.jsonl").splitlines()]

    def absent(self) -> dict[str, str]:
        """Return the faults that cannot happen here: every one can."""
        return {}

    def kill(self, pod: str, *, told: bool = False) -> None:
        """Delete a pod and wait until it is gone; `told`: with its grace, else its processes get SIGKILL."""
        self.namespace.delete_pod(pod, told=told, limit_s=90)

    def whole_again(self, component: str) -> None:
        """Wait until a component has its pods."""
        self.namespace.until_ready(component, COUNTS[component])

    def close(self) -> None:
        """Take everything back."""
        for way in self._ways:
            way.close()
        self.namespace.close()
