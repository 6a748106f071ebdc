"""Deletion costs of the worker pods: scale-in removes idle pods first, and the pod with the longest job last of all.

The controller writes them, from what the supervisors publish in the table of workers: it runs no operation, so no code
of a user is beside the right to patch pods. It lists the pods by a label selector and changes those alone, whatever
names are in the table. The annotation of an idle pod is removed.
"""

import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from common.settings import Settings
from common.store.workers.leases import BusyHost
from common.telemetry import logs

log = logs.get("controller")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MAX_LIST_BYTES = 64 << 20  # of the metadata of the pods, about 3 KB each
BUSY_COST = 1_000  # of a pod whose jobs are all short
MAX_COST = 2_000_000_000  # near the end of the annotation's 32-bit integer
COST_EPOCH = 1_735_689_600  # 2025-01-01: seconds are counted from here, which fits for 60 years
LONG_JOB_S = 10.0  # a job that has run for less is short; also the minimum time between two writes for a pod
MAX_WRITES = 200  # in one round; the others follow in the next ones
RECHECK_INTERVAL_S = 30.0  # between two lists of the pods while their costs stay the same

Costs = Mapping[str, int | None]


class Pods(Protocol):
    """The worker pods at the API server. Both methods raise OSError, HTTPException or ValueError."""

    def costs(self) -> Costs:
        """Return the annotated cost of each pod by its name, None without one."""

    def write(self, costs: Costs) -> Iterator[str]:
        """Write costs, None to remove one; yield the name of each pod that is written."""


def deletion_cost(host: BusyHost | None) -> int | None:
    """Return the cost of a pod; None if it is idle.

    The earlier its longest job has started, the higher. It stays constant while the job runs: a long job is one write.
    """
    if host is None:
        return None
    if host.running_s < LONG_JOB_S:
        return BUSY_COST
    return min(MAX_COST, max(BUSY_COST + 1, MAX_COST - (int(host.started) - COST_EPOCH)))


def changed_costs(annotated: Costs, costs: Costs) -> dict[str, int | None]:
    """Return the costs to write, of pods that exist; one that differs by a second only is left as it is."""
    wanted = {pod: costs.get(pod) for pod in annotated}
    return {pod: cost for pod, cost in wanted.items() if not _same(annotated[pod], cost)}


def _same(first: int | None, second: int | None) -> bool:
    return first == second if first is None or second is None else abs(first - second) <= 1


class PodsOfSelector:
    """The pods of a label selector, in the namespace of the controller's own pod, by its service account."""

    def __init__(self, selector: str, timeout_s: float) -> None:
        self._query = urlencode({"labelSelector": selector, "resourceVersion": "0"})
        self._timeout_s = timeout_s

    def costs(self) -> Costs:
        """Return the annotated cost of each pod that is not being deleted."""
        with self._connection() as connection:
            answer = _request(connection, "GET", f"{_pods_path()}?{self._query}", None, {"Accept": METADATA_ONLY})
        pods = [pod["metadata"] for pod in json.loads(answer)["items"]]
        return {pod["name"]: _annotated_cost(pod) for pod in pods if "deletionTimestamp" not in pod}

    def write(self, costs: Costs) -> Iterator[str]:
        """Write costs, each with one request. A pod that is gone meanwhile counts as written."""
        headers = {"Content-Type": "application/merge-patch+json"}
        with self._connection() as connection:
            for pod, cost in costs.items():
                body = {"metadata": {"annotations": {ANNOTATION: None if cost is None else str(cost)}}}
                _request(connection, "PATCH", f"{_pods_path()}/{pod}", json.dumps(body), headers, http.client.NOT_FOUND)
                yield pod

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        # Certificate authorities of many clusters are older than the rules of RFC 5280 for their fields.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        address = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        connection = http.client.HTTPSConnection(*address, timeout=self._timeout_s, context=context)
        try:
            yield connection
        finally:
            connection.close()


def _pods_path() -> str:
    return f"/api/v1/namespaces/{(ACCOUNT / 'namespace').read_text().strip()}/pods"


def _request(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    body: str | None,
    headers: Mapping[str, str],
    *accepted: int,
) -> bytes:
    token = (ACCOUNT / "token").read_text().strip()  # read each time, because it rotates
    connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
    response = connection.getresponse()
    answer = response.read(MAX_LIST_BYTES)
    if response.status not in (http.client.OK, *accepted):
        text = " ".join(answer[:1_000].decode(errors="replace").split())
        raise OSError(f"{response.status} {text}")
    return answer


def _annotated_cost(pod: Mapping[str, Any]) -> int | None:
    cost = (pod.get("annotations") or {}).get(ANNOTATION)
    try:
        return None if cost is None else int(cost)
    except ValueError:
        return 0


class DeletionCosts:
    """Writes the costs that have changed from a background thread: a slow API server must not delay the rescue."""

    def __init__(
        self, settings: Settings, pods: Pods | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`pods`: None: those of the setting's selector. `clock`: in seconds."""
        selector = settings.pod_deletion_cost_selector
        self.is_enabled = bool(selector)
        self._pods = pods or PodsOfSelector(selector, settings.kubernetes_timeout_seconds)
        self._clock = clock
        self._reached: Costs | None = None  # None: some pods may have another cost
        self._next_check_at = 0.0
        self._paused_until = 0.0  # after an error
        self._next_write_at: dict[str, float] = {}  # by pod
        self._writer: threading.Thread | None = None

    def update(self, busy_hosts: Mapping[str, BusyHost]) -> None:
        """Write the costs for these hosts, and remove those of all others. Returns at once, and logs errors."""
        if self._writer is None or not self._writer.is_alive():
            costs = {host: deletion_cost(busy) for host, busy in busy_hosts.items()}
            self._writer = threading.Thread(target=self._write, args=(costs,), name="deletion-costs", daemon=True)
            self._writer.start()

    def wait(self, seconds: float) -> None:
        """Wait until the costs of the last update are written, up to a time."""
        if self._writer is not None:
            self._writer.join(seconds)

    def _is_reached(self, costs: Costs) -> bool:
        reached = self._reached
        return reached is not None and reached.keys() == costs.keys() and not changed_costs(reached, costs)

    def _write(self, costs: Costs) -> None:
        now = self._clock()
        if now < self._paused_until or (now < self._next_check_at and self._is_reached(costs)):
            return
        self._reached = None
        self._next_check_at = now + RECHECK_INTERVAL_S
        try:
            annotated = self._pods.costs()
            changed = changed_costs(annotated, costs)
            self._next_write_at = {pod: at for pod, at in self._next_write_at.items() if pod in annotated and at > now}
            due = [pod for pod in changed if pod not in self._next_write_at][:MAX_WRITES]
            for pod in self._pods.write({pod: changed[pod] for pod in due}):
                self._next_write_at[pod] = now + LONG_JOB_S
        except Exception as error:  # noqa: BLE001 - only a hint to the scaler: no error may end the controller
            self._paused_until = now + LONG_JOB_S
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            log.warning("deletion_cost_write_failed", reason=reason)
        else:
            if len(due) == len(changed):
                self._reached = costs
