"""`doctor`: looks for what is wrong, and says what to do."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import click

from jobproc.cli.connection import whole
from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.failures import sentence_of
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns
from jobproc.client.connection.request import get
from jobproc.client.errors import ApiError
from jobproc.client.views.view import View, view
from jobproc.errors import JobprocError

COLUMNS = columns("ok", "check", "found", "todo", todo="WHAT TO DO")
CLOCK_S = 5.0  # the API itself refuses to be ready beyond this distance from its database
LATE_S = 60.0
RESTARTS = 3
KUBECTL_S = 20
TODO = {
    "database": "look at DATABASE_URL of the API, and whether PostgreSQL runs and lets its role connect",
    "migrations": "run `python -m common.migrate`, or wait for the migration of the release",
    "clock": "synchronise the clocks of the API's host and of the database's",
}


class Finding(NamedTuple):
    """The outcome of a check."""

    ok: bool
    check: str
    found: str
    todo: str = ""


def readiness(invocation: Invocation) -> Iterator[Finding]:
    """Yield whether the API is reached, its own checks, and the distance of the clocks."""
    try:
        response = invocation.client.send(get("/readyz", whole))
        body, date = response.json(), response.headers.get("date", "")
    except ApiError as error:
        body, date = error.body, ""
        if "checks" not in body:
            raise
    yield Finding(True, "api", f"{invocation.client.url} answers")
    for check in body["checks"]:
        todo = "" if check["ok"] else TODO.get(check["name"], "look at the log of the API")
        yield Finding(bool(check["ok"]), check["name"], check["detail"], todo)
    if date:
        apart = abs((invocation.now() - parsedate_to_datetime(date)).total_seconds())
        is_far = apart > CLOCK_S + 1  # the header has whole seconds
        todo = "synchronise the clock of this machine: relative times of this command line are wrong by it"
        yield Finding(not is_far, "own clock", f"{apart:.0f} s from the API's", todo if is_far else "")


def access(invocation: Invocation) -> Iterator[Finding]:
    """Yield who the caller is."""
    caller = invocation.client.caller
    who = caller.subject or "no key is needed"
    todo = "" if caller.may_submit else "the tenant is suspended or draining: an operator resumes it"
    yield Finding(bool(caller.may_submit), "access", f"{who}, tenant {caller.tenant}: {', '.join(caller.scopes)}", todo)


def installation(invocation: Invocation) -> Iterator[Finding]:
    """Yield the parts of the installation that readiness does not need, if the caller may ask."""
    if "admin" not in invocation.client.caller.scopes:
        yield Finding(True, "installation", "broker, controller and connections: not asked, the scope admin is needed")
        return
    for check in invocation.client.send(get("/diagnostics", view(View))).checks:
        if check.name in {"broker", "connections", "controller"}:
            yield Finding(bool(check.ok), check.name, check.detail, check.todo or "")


def queues(invocation: Invocation) -> Iterator[Finding]:
    """Yield the queues whose jobs nobody takes, or that are late."""
    stats = invocation.client.stats().queues
    paused = {queue.name for queue in invocation.client.queues.list() if queue.paused}
    for queue in stats:
        name = f"queue {queue.queue}"
        if queue.queue in paused and queue.queued:
            todo = f"jobproc queues resume {queue.queue}"
            yield Finding(False, name, f"{queue.queued:,} jobs wait, and it is paused", todo)
        elif queue.queued and not queue.workers_alive:
            yield Finding(False, name, f"{queue.queued:,} jobs wait, and no worker serves it", "start a worker with it")
        elif queue.oldest_due_seconds > LATE_S:
            todo = (
                "add workers; if they are idle, look at their logs and at Redis; `jobproc why ID` says why a job waits"
            )
            yield Finding(False, name, f"the oldest job waits for {queue.oldest_due_seconds:.0f} s", todo)
        else:
            yield Finding(True, name, f"{queue.queued:,} wait, {queue.running:,} run, {queue.workers_alive} workers")


def workers(invocation: Invocation) -> Iterator[Finding]:
    """Yield whether workers live, and those that were lost."""
    found = invocation.client.workers()
    alive = [worker for worker in found if worker.alive]
    todo = "start one: `python -m worker`, or scale the deployment"
    yield Finding(bool(alive), "workers", f"{len(alive)} processes live", "" if alive else todo)
    lost = [str(worker.worker) for worker in found if not worker.alive and not worker.ended_at]
    if lost:
        todo = "look at the logs and the memory of their hosts; the controller gives their jobs to others"
        yield Finding(False, "lost workers", f"{', '.join(lost)}: the lease ended without a word", todo)


def cluster(namespace: str) -> Iterator[Finding]:
    """Yield what kubectl says of the pods of a namespace, and of the objects that scale them."""
    if not shutil.which("kubectl"):
        usage("--cluster needs kubectl")
    for pod in kubectl("pods", namespace):
        name = f"pod {pod['metadata']['name']}"
        statuses = pod["status"].get("containerStatuses", [])
        restarts = sum(status["restartCount"] for status in statuses)
        waiting = [status["state"]["waiting"]["reason"] for status in statuses if "waiting" in status.get("state", {})]
        is_done = pod["status"]["phase"] == "Succeeded"
        is_ready = is_done or (bool(statuses) and all(status["ready"] for status in statuses))
        text = f"{pod['status']['phase']}, {restarts} restarts {' '.join(waiting)}".rstrip()
        todo = "" if is_ready and restarts < RESTARTS else f"kubectl -n {namespace} describe {name.replace(' ', '/')}"
        yield Finding(not todo, name, text, todo)
    for scaled in kubectl("scaledobjects.keda.sh", namespace, may_lack=True):
        conditions = {condition["type"]: condition for condition in scaled.get("status", {}).get("conditions", [])}
        ready = conditions.get("Ready", {})
        is_ready = ready.get("status") == "True"
        todo = "" if is_ready else "look at the operator of KEDA: its log, and the Secret of the trigger"
        yield Finding(
            is_ready, f"scaledobject {scaled['metadata']['name']}", str(ready.get("message", "no state")), todo
        )


def kubectl(kind: str, namespace: str, *, may_lack: bool = False) -> list[dict[str, Any]]:
    """Return the objects of a kind."""
    argv = ["kubectl", "get", kind, "--namespace", namespace, "--output", "json"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=KUBECTL_S, check=False)  # noqa: S603 - fixed words, and a namespace as an argument
    if result.returncode:
        if may_lack:
            return []
        usage(f"kubectl get {kind}: {result.stderr.strip()}")
    return list(json.loads(result.stdout)["items"])


CHECKS: tuple[Callable[[Invocation], Iterator[Finding]], ...] = (readiness, access, installation, workers, queues)


@command("doctor")
@click.option("--cluster", "namespace", metavar="NAMESPACE", help="Also the pods of a namespace, by kubectl.")
@pass_invocation
def doctor(invocation: Invocation, namespace: str | None) -> int:
    """Look for what is wrong: API, database, broker, clocks, workers, queues. Each finding has what to do.

    The exit code is 10 if something is wrong.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(invocation)
        except JobprocError as error:
            todo = "look at the URL, the key and the scopes of the profile: jobproc config"
            findings.append(Finding(False, check.__name__, sentence_of(error).splitlines()[0], todo))
            if check is readiness:
                break
    if namespace:
        findings += cluster(namespace)
    invocation.write_list([finding._asdict() for finding in findings], COLUMNS, "check")
    return ExitCode.DONE if all(finding.ok for finding in findings) else ExitCode.UNHEALTHY
