"""Every example of the OpenAPI document, one by one: what it says can be asked is answered as it says, and each answer that it shows comes."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import validator_for
from rig.system import System, until

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())
#: What needs another system than one that is well: by the name of the problem, where it is provoked.
ELSEWHERE = {
    "internal": "tests/integration/api/test_manners.py",
    "store-unavailable": "tests/integration/api/test_database_outage.py",
    "overloaded": "tests/integration/api/test_group_commit.py",
    "too-many-waiting": "tests/integration/api/test_long_poll.py",
    "not-ready": "tests/integration/api/test_health.py",
    "body-timeout": "tests/integration/api/test_large_and_slow_bodies.py",
    "queue-late": "tests/integration/submission_options/test_backpressure.py",
}
BARE = {"204", "304"}  # they have no body, so no example
MADE_REAL = {"job_id", "action_id", "cursor"}  # parameters that name what a client has been told
SAME = {"status", "code", "type", "title", "cancel_requested", "ready", "ok"}  # members that an example and the real answer share
FREE = {"metadata", "input", "input_schema"}  # members that are the client's, or the operation's

JOB = {"data": [1, 2, 3], "operation": "square_sum"}
LATER = JOB | {"delay": 1_000}
Operation = tuple[str, str]
OPERATIONS: dict[Operation, dict[str, Any]] = {(method, path): one for path, item in DOCUMENT["paths"].items() for method, one in item.items()}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    return found


def of_schema(schema: dict[str, Any]) -> list[Any]:
    """Return the examples of a schema, and of those that it is any of."""
    schema = resolved(schema)
    return [*schema.get("examples", []), *(one for kind in schema.get("anyOf", []) for one in resolved(kind).get("examples", []))]


def of_body(operation: Operation) -> list[Any]:
    return [one for media in OPERATIONS[operation].get("requestBody", {}).get("content", {}).values() for one in of_schema(media["schema"])]


def of_parameter(parameter: dict[str, Any]) -> list[Any]:
    return [one["value"] for one in parameter.get("examples", {}).values()] or of_schema(parameter["schema"])


def of_answer(operation: Operation, status: str) -> dict[str, Any]:
    """Return the examples of an answer by their names."""
    contents = OPERATIONS[operation]["responses"][status].get("content", {}).values()
    return {name: one["value"] for media in contents for name, one in media.get("examples", {}).items()}


def answers() -> Iterator[tuple[Operation, str, str, Any]]:
    """Yield each answer that is shown: its status, its name, itself; those without a body have no name."""
    for operation, about in OPERATIONS.items():
        for status in about["responses"]:
            yield from ((operation, status, name, value) for name, value in ({"": None} if status in BARE else of_answer(operation, status)).items())


def requests() -> Iterator[tuple[Operation, dict[str, Any]]]:
    """Yield each request that is shown: a body, or a parameter beside the first body."""
    for operation, about in OPERATIONS.items():
        bodies = of_body(operation)
        yield from ((operation, {"json": body}) for body in bodies)
        for parameter in about.get("parameters", []):
            if parameter["name"] not in MADE_REAL:
                place = {"query": "params", "header": "headers"}[parameter["in"]]
                yield from ((operation, {place: {parameter["name"]: value}} | ({"json": bodies[0]} if bodies else {})) for value in of_parameter(parameter))


def checked(operation: Operation, answer: httpx.Response) -> Any:
    """Return the body of an answer, which is one of those that are described."""
    about = OPERATIONS[operation]["responses"][str(answer.status_code)]
    if str(answer.status_code) in BARE:
        assert not answer.content
        return None
    media = answer.headers["content-type"].partition(";")[0]
    assert set(about["content"]) == {media}
    if media == "text/event-stream":
        return answer.text
    body = answer.json()
    validator_for({**about["content"][media]["schema"], "components": DOCUMENT["components"]}, validate_formats=True).validate(body)
    return body


def unlike(example: Any, real: Any, at: str = "") -> Iterator[str]:
    """Yield where an example has other members than what came, or says another thing with those that say what it is about."""
    name = at.rpartition(".")[2]
    if isinstance(example, dict) and isinstance(real, dict) and name not in FREE:
        yield from (f"{at}.{only} is in one of both" for only in set(example) ^ set(real))
        for both in set(example) & set(real):
            yield from unlike(example[both], real[both], f"{at}.{both}")
    elif isinstance(example, list) and isinstance(real, list) and example and real:
        yield from unlike(example[0], real[0], at)
    elif name in SAME and example != real and not {"error", "links"} & set(at.split(".")):
        yield f"{at}: {example} is shown, {real} came"


class Asked:
    """Asks the shared system."""

    def __init__(self, system: System, wire: Callable[[System], Any]) -> None:
        self.system = system
        self.wire = wire

    def job(self, end: str = "", **more: Any) -> str:
        """Submit a job, and wait until it is in a state, if any."""
        job_id = str(self.system.client.post("/jobs/", json=JOB | more).json()["job_id"])
        if end:
            self.system.wait_status(job_id, end)
        return job_id

    def cancelled(self, **more: Any) -> str:
        job_id = self.job(delay=1_000, **more)
        self.system.client.post(f"/jobs/{job_id}/cancel").raise_for_status()
        return job_id

    def but(self, job_id: str, *statements: str) -> str:
        """Change what is stored of a job."""
        for sql in statements:
            self.system.database.rows(sql, (job_id,))
        return job_id

    def send(self, operation: Operation, job_id: str = "", **request: Any) -> httpx.Response:
        method, path = operation
        return self.system.client.request(method, path.format(job_id=job_id, action_id=job_id), **request)

    def submit(self, operation: Operation, job: Any, **request: Any) -> httpx.Response:
        """Send a submission, alone or in a batch; or as the body of a retry."""
        job_id = self.cancelled() if "{" in operation[1] else ""
        return self.send(operation, job_id, json=[job, JOB] if operation[1].endswith("batch") else job, **request)

    def twice(self, operation: Operation, job: Any, other: Any, **headers: str) -> httpx.Response:
        own = {name: value + uuid.uuid4().hex for name, value in headers.items()}
        self.submit(operation, job, headers=own)
        return self.submit(operation, other, headers=own)

    def known(self, operation: Operation) -> httpx.Response:
        """Ask for what has not changed since it was told."""
        job_id = self.job("SUCCESS")
        return self.send(operation, job_id, headers={"If-None-Match": self.send(operation, job_id).headers["etag"]})

    def told(self, operation: Operation) -> httpx.Response:
        """Ask for a stream that is over."""
        job_id = self.job("SUCCESS")
        last = self.send(operation, job_id).text.rpartition("id: ")[2].partition("\n")[0]
        return self.send(operation, job_id, headers={"Last-Event-ID": last})

    def of_removed(self, operation: Operation) -> httpx.Response:
        """Send the key of a job that has been removed."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        job_id = self.send(operation, json=LATER, headers=key).json()["job_id"]
        self.but(job_id, "DELETE FROM live WHERE id = %s", "DELETE FROM jobs WHERE id = %s")
        return self.send(operation, json=LATER, headers=key)

    def held(self, operation: Operation) -> httpx.Response:
        """Retry a job whose unique key another one has by now."""
        unique = {"key": uuid.uuid4().hex}
        job_id = self.cancelled(unique=unique)
        self.job(delay=1_000, unique=unique)
        return self.send(operation, job_id)

    def action(self, *verbs: str) -> str:
        """Ask for an action on jobs of its own, and then this of it. It takes seconds: a stop finds it at work."""
        tag = uuid.uuid4().hex
        for _ in range(5):
            self.job(delay=1_000, tags=[tag])
        links = self.system.client.post("/actions", json={"action": "cancel", "filter": {"tag": tag}, "rate": 1}).json()["links"]
        for verb in verbs:
            self.system.client.post(links[verb]).raise_for_status()
        return str(links["self"]).rpartition("/")[2]

    def acting(self, operation: Operation) -> httpx.Response:
        """Ask for an action, or for all, with one that has a job to show."""
        (body,) = of_body(operation) or [None]
        self.job(delay=1_000, tags=["nightly"])
        self.action()
        return self.send(operation, json=body)

    def progressing(self, operation: Operation) -> httpx.Response:
        (self.system.folder / "go").unlink(missing_ok=True)
        job_id = self.job(operation="tell_progress", data=[0.5])
        answer: httpx.Response = until("it says how far it is", lambda: one if "progress" in (one := self.send(operation, job_id)).json() else None)
        (self.system.folder / "go").touch()
        return answer


Provoke = Callable[[Asked, Operation], httpx.Response]
#: By the name of an example; where a route has its own way to it, by route and name.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    "stored": lambda asked, on: asked.submit(on, JOB),
    "for later": lambda asked, on: asked.submit(on, LATER),
    "it has ended": lambda asked, on: asked.send(
        on, asked.job("SUCCESS", tags=["a"], metadata={"order": 1}, keep=90_000, backoff={"base": 1, "cap": 2}, unique={"key": uuid.uuid4().hex})
    ),
    ("/jobs/", "it has ended"): lambda asked, on: asked.submit(on, JOB, params={"wait": 15}),
    "the same key": lambda asked, on: asked.twice(on, LATER, LATER, **{"Idempotency-Key": "a"}),
    "a page": lambda asked, on: asked.send(on, params={"status": "FAILED", "limit": 1}),
    "it waits": lambda asked, on: asked.send(on, asked.job(delay=1_000)),
    "it runs": lambda asked, on: asked.send(on, asked.job("IN_PROGRESS", operation="linger", data=[5])),
    ("/jobs/{job_id}/status", "it runs"): lambda asked, on: asked.progressing(on),
    "it waited": lambda asked, on: asked.send(on, asked.job(delay=1_000)),
    "once more": lambda asked, on: asked.send(on, asked.cancelled()),
    "its time has not come": lambda asked, on: asked.send(on, asked.job(delay=1_000)),
    "a job that runs": lambda asked, on: asked.send(on, asked.job("IN_PROGRESS", operation="linger", data=[0.2])),
    **dict.fromkeys(("a preview", "actions"), lambda asked, on: asked.acting(on)),
    **dict.fromkeys(("how far it is", "it is stopped"), lambda asked, on: asked.send(on, asked.action("start"))),
    "it begins": lambda asked, on: asked.send(on, asked.action()),
    "it is taken back": lambda asked, on: asked.send(on, asked.action("start", "stop")),
    **dict.fromkeys(("one operation", "one queue", "it lives", "it is ready"), lambda asked, on: asked.send(on)),
    # without a body
    "": lambda asked, on: asked.known(on),
    ("/jobs/{job_id}/events", ""): lambda asked, on: asked.told(on),
    # problems
    "malformed-json": lambda asked, on: asked.send(on, asked.cancelled(), content=b"{", headers={"Content-Type": "application/json"}),
    "unsupported-media-type": lambda asked, on: asked.send(on, asked.cancelled(), content=b"{}", headers={"Content-Type": "text/plain"}),
    "body-too-large": lambda asked, on: asked.wire(asked.system).head("Content-Length: 2000000", path=on[1].format(job_id=asked.cancelled())).answer(),
    "invalid-body": lambda asked, on: asked.submit(on, JOB | {"data": [1, 2, 3, "x"]}),
    "unknown-operation": lambda asked, on: asked.submit(on, JOB | {"operation": "nothing"}),
    ("/jobs/{job_id}/retry", "unknown-operation"): lambda asked, on: asked.send(
        on, asked.but(asked.cancelled(), "UPDATE jobs SET operation = 'nothing' WHERE id = %s"), json={"data": [1]}
    ),
    "invalid-idempotency-key": lambda asked, on: asked.submit(on, JOB, headers={"Idempotency-Key": "a b"}),
    "idempotency-key-reused": lambda asked, on: asked.twice(on, JOB, LATER, **{"Idempotency-Key": "a"}),
    "unique-conflict": lambda asked, on: asked.twice(on, LATER | {"unique": {"key": "a"}}, LATER | {"unique": {"key": "a"}}),
    ("/jobs/{job_id}/retry", "unique-conflict"): lambda asked, on: asked.held(on),
    "invalid-parameter": lambda asked, on: asked.send(on, "x", params={"wait": "x"}),
    "job-not-found": lambda asked, on: asked.send(on, str(uuid.uuid4())),
    ("/jobs/", "job-not-found"): lambda asked, on: asked.of_removed(on),
    "action-not-found": lambda asked, on: asked.send(on, str(uuid.uuid4())),
    "wrong-phase": lambda asked, on: asked.send(on, asked.but(asked.action(), "UPDATE actions SET phase = 'EXPIRED' WHERE id = %s")),
    "not-retryable": lambda asked, on: asked.send(on, asked.job("SUCCESS")),
    "input-removed": lambda asked, on: asked.send(on, asked.but(asked.cancelled(), "UPDATE jobs SET input = NULL WHERE id = %s")),
}


def test_whatever_can_have_an_example_has_one() -> None:
    bare = [(operation, status) for operation, about in OPERATIONS.items() for status in about["responses"] if not of_answer(operation, status)]
    assert {status for _, status in bare} <= BARE, bare
    parameters = [(operation, one) for operation, about in OPERATIONS.items() for one in about.get("parameters", [])]
    assert [(operation, one["name"]) for operation, one in parameters if not of_parameter(one) and one["name"] not in MADE_REAL] == []
    assert [operation for operation, about in OPERATIONS.items() if "requestBody" in about and not of_body(operation)] == []


def test_what_needs_another_system_is_provoked_where_it_is_said_to_be() -> None:
    for kind, path in ELSEWHERE.items():
        assert (ROOT / path).exists(), kind
    assert set(ELSEWHERE) <= {name for _, _, name, _ in answers()}, "and nothing else is left out"


@pytest.fixture
def asked(shared: System, wire: Callable[[System], Any]) -> Asked:
    """The shared system, in which jobs have failed."""
    asked = Asked(shared, wire)
    for _ in range(2):
        asked.job("FAILED", operation="fail_for_good", tags=["nightly"])
    return asked


def test_each_request_that_is_shown_is_served(asked: Asked) -> None:
    refused = []
    for operation, request in requests():
        asked.system.database.rows("DELETE FROM keys")  # one is shown for several requests
        job_id = asked.cancelled() if operation[1].endswith("/retry") else asked.job("SUCCESS") if "{" in operation[1] else ""
        answer = asked.send(operation, job_id, **request)
        checked(operation, answer)
        if answer.status_code >= 300:
            refused.append((operation, request, answer.text))
    assert refused == []


def test_each_answer_that_is_shown_comes(asked: Asked) -> None:
    """With the status and the members that are shown, and valid by its schema."""
    wrong = []
    for operation, status, name, example in answers():
        if name in ELSEWHERE:
            continue
        provoke = PROVOKED.get((operation[1], name)) or PROVOKED[name]
        answer = provoke(asked, operation)
        if str(answer.status_code) != status:
            wrong.append(f"{operation} {name}: {answer.status_code} {answer.text[:500]}")
            continue
        wrong += [f"{operation} {name}{one}" for one in unlike(_without_particulars(example), _without_particulars(checked(operation, answer)))]
    assert wrong == []


def _without_particulars(body: Any) -> Any:
    """Return a body without what RFC 9457 lets a problem add."""
    return {name: body[name] for name in ("type", "title", "status", "detail")} if isinstance(body, dict) and "title" in body else body
