"""The pod's deletion cost: scale-in removes idle pods first, busy ones last, the pod with the longest job last of all.

The annotation is removed when the pod is idle. Needs `patch` on pods; off unless JOBPROC_POD_DELETION_COST is true.
"""

import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common.settings import Settings
from common.telemetry import logs

log = logs.get("worker")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
BUSY_COST = 1_000  # of a pod whose jobs are all short
MAX_COST = 2_000_000_000  # near the end of the annotation's 32-bit integer
COST_EPOCH = 1_735_689_600  # 2025-01-01: seconds are counted from here, which fits for 60 years
LONG_JOB_S = 10.0  # a job that has run for less is short; also the minimum time between two writes for a pod


def deletion_cost(started: float | None, now: float) -> int | None:
    """Return the cost of a pod whose longest job started at `started`, in seconds of Unix time; None if it is idle.

    The earlier the start, the higher the cost. It stays constant while the job runs: a long job costs one write.
    """
    if started is None:
        return None
    return BUSY_COST if now - started < LONG_JOB_S else MAX_COST - (int(started) - COST_EPOCH)


def annotate(name: str, namespace: str, timeout_s: float, cost: int | None) -> None:
    """Write the annotation of a pod as the pod's service account; None removes it. Raises OSError, HTTPException."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    # Certificate authorities of many clusters are older than the rules of RFC 5280 for their fields.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    body = {"metadata": {"annotations": {ANNOTATION: None if cost is None else str(cost)}}}
    headers = {
        "Content-Type": "application/merge-patch+json",
        "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
    }
    address = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    connection = http.client.HTTPSConnection(*address, timeout=timeout_s, context=context)
    try:
        connection.request("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise OSError(f"{response.status} {response.read(1_000).decode(errors='replace')}")
    finally:
        connection.close()


class DeletionCost:
    """Writes the annotation of its own pod from a background thread: a slow API server must not delay the leases."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        write: Callable[[int | None], None] | None = None,
    ) -> None:
        """`clock`: Unix seconds. `write`: stores a cost; None: at the API server of the cluster."""
        name, namespace = settings.pod_name, settings.pod_namespace
        self._enabled = settings.pod_deletion_cost and bool(name and namespace)
        self._annotate = write or partial(annotate, name, namespace, settings.kubernetes_timeout_seconds)
        self._clock = clock
        self._started: float | None = None
        self._written: int | None = None
        self._next_write_at = 0.0
        self._writer: threading.Thread | None = None

    def update(self, longest_s: float | None) -> None:
        """Report for how many seconds the longest job has run; None: the pod is idle."""
        if not self._enabled:
            return
        now = self._clock()
        if longest_s is None:
            self._started = None
        elif self._started is None or abs(now - longest_s - self._started) > 1:
            self._started = now - longest_s
        if now < self._next_write_at or (self._writer is not None and self._writer.is_alive()):
            return
        cost = deletion_cost(self._started, now)
        if cost != self._written:
            self._next_write_at = now + LONG_JOB_S
            self._writer = threading.Thread(target=self._write, args=(cost,), name="deletion-cost", daemon=True)
            self._writer.start()

    def _write(self, cost: int | None) -> None:
        try:
            self._annotate(cost)
        except Exception as error:  # noqa: BLE001 - only a hint to the scaler: no error may stop the supervisor
            log.warning(
                "deletion_cost_write_failed", reason=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            )
        else:
            self._written = cost
