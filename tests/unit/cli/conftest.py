"""An API of fixed answers behind the command line: a transport that sends nothing."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobproc.cli.__main__ import run
from jobproc.cli.invocation import Invocation
from jobproc.client.connection import drivers
from jobproc.client.connection.request import Response
from jobproc.client.connection.steps import Lost, Send

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BASE = "http://api.example"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Api:
    """The answers by method and path, and the requests that were sent."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Response | Lost]] = {}
        self.sent: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.closed = 0

    def answer(self, request: str, body: Any, status: int = 200, **headers: str) -> None:
        """Answer requests such as `GET /jobs/`; the last answer is repeated."""
        made = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(request, []).append(Response(status, made, json.dumps(body).encode()))

    def refuse(self, request: str, status: int, name: str, detail: str, **members: Any) -> None:
        body = {"type": f"urn:jobproc:problem:{name}", "title": name, "detail": detail, **members}
        self.answer(request, body, status, x_request_id="r-1")

    def send(self, step: Send) -> Response | Lost:
        """Answer a request."""
        target = step.url.removeprefix(BASE)
        self.sent.append((f"{step.method} {target}", json.loads(step.body) if step.body else None))
        self.headers.append(dict(step.headers))
        answers = (
            self.answers.get(f"{step.method} {target}") or self.answers[f"{step.method} {target.partition('?')[0]}"]
        )
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def lines(self, step: Send) -> Iterator[Response | str | Lost]:
        """Answer a stream: its body are the lines."""
        answer = self.send(step)
        yield answer
        if isinstance(answer, Response):
            yield from json.loads(answer.body)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    made = Api()
    monkeypatch.setattr(drivers, "Transport", lambda _: made)
    monkeypatch.setenv("JOBPROC_CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.setenv("JOBPROC_URL", BASE)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("JOBPROC_API_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return made


@pytest.fixture
def jobproc(api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Return a function that runs a command line."""
    assert api is not None

    def run_it(*arguments: str, terminal: bool = False) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(Invocation, "is_terminal", property(lambda _: terminal))
            invocation = Invocation()
            invocation.now = lambda: NOW
            code = run(arguments, invocation)
        out, err = capsys.readouterr()
        return Ended(code, out, re.sub(r"\s+\n", "\n", err))

    return run_it
