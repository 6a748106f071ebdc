"""The cost of a command: its CPU, and the modules that it imports."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobproc.cli.__main__ import COMMANDS, commands

CPU_S = 0.3
TRIES = 8  # the quickest counts: others work on the machine
#: Packages that no command but those that name them may need.
HEAVY = {"pydantic", "pydantic_core", "rich", "yaml", "asyncio", "textual", "celery", "sqlalchemy", "psycopg2", "redis"}
PRINT_MODULES = """
import sys
from jobproc.cli.__main__ import run
code = run(sys.argv[1:])
print(",".join({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


class Empty(BaseHTTPRequestHandler):
    """Answers each request with an empty list of jobs."""

    def do_GET(self) -> None:
        body = b'{"jobs":[],"next":null}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("JOBPROC_")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=env)


def cpu_s(*arguments: str) -> float:
    """Return the least CPU seconds of several runs."""
    found = []
    for _ in range(TRIES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(*arguments).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if found[-1] < CPU_S:
            break
    return min(found)


def test_a_list_takes_less_than_0_3_s_of_cpu(url: str) -> None:
    assert cpu_s("-m", "jobproc.cli", "list", "--url", url) < CPU_S


def test_a_list_imports_nothing_that_it_does_not_use(url: str) -> None:
    ended = run("-c", PRINT_MODULES, "list", "--url", url)
    assert ended.returncode == 0, ended.stderr
    imported = set(ended.stderr.strip().split(","))
    assert {"click", "httpx2"} <= imported
    assert not imported & HEAVY


def test_help_imports_no_client() -> None:
    imported = set(run("-c", PRINT_MODULES, "--help").stderr.strip().split(","))
    assert "click" in imported
    assert not imported & (HEAVY | {"httpx2", "json"})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_called_as_the_list_says_and_has_a_help(name: str) -> None:
    context = commands().make_context("jobproc", ["version"])
    command = commands().get_command(context, name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").strip()
    assert json.dumps(command.to_info_dict(context))
