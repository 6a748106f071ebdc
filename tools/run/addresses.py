"""Where the parts of a run are: the table that `make run` prints."""

import json
import os
from collections.abc import Iterator, Sequence

from common.server_urls import masked_url
from tools.run.first_job import SAMPLE
from tools.run.packages import Package
from tools.run.processes import METRICS, Run


def print_addresses(run: Run, packages: Sequence[Package], clean: str) -> None:
    """Print where the API, metrics, servers, data and logs are. `clean`: the command that deletes the data."""
    print()
    for name, text in _lines(run, packages, clean):
        print(f"  {name:<11} {text}")


def example(run: Run) -> str:
    """Return a command that submits a job, with the key if one is needed."""
    headers = {**run.authentication.header, "Content-Type": "application/json"}
    options = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl -sS {run.base}/jobs/ {options} -d '{json.dumps(SAMPLE, separators=(',', ':'))}'"


def _lines(run: Run, packages: Sequence[Package], clean: str) -> Iterator[tuple[str, str]]:
    yield "API", f"{run.base} (documentation: {run.base}/docs)"
    if run.authentication.is_on:
        yield "API key", f"{run.authentication.key} (with every scope; kept in {run.authentication.place})"
        yield "try it", example(run)
    if run.metrics_ports:
        for process, port in run.metrics_ports.items():
            yield "metrics", f"http://127.0.0.1:{port}/metrics ({process})"
    elif run.env[METRICS] == "0":
        yield "metrics", f"none: {METRICS} is 0"
    else:
        yield "metrics", f"from port {run.env[METRICS]} on; `metrics_serving` in each log names the port"
    for server, variable in (("database", "DATABASE_URL"), ("Redis", "REDIS_URL")):
        url = run.env.get(variable)
        yield server, masked_url(url) if url else f"that of the file {run.env[f'{variable}_FILE']}"
    yield "logs", f"{run.logs} (api.log, worker.log, controller.log)"
    yield "data", f"{run.folder} (`{clean}` deletes data and logs)"
    yield "operations", ", ".join(run.operations.names)
    yield "queues", ", ".join(run.operations.queues)
    for package in packages:
        yield "watched", f"{os.path.relpath(package.sources)}: the worker restarts when a Python file changes there"
