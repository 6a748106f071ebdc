"""`make generate`: writes the files that are generated from the code. `--check` compares them instead."""

import json
import sys
from collections.abc import Callable, Iterable

from markdown_it import MarkdownIt

from api.app import create_app
from api.web.resource_problem_kinds import PROBLEM_KINDS
from common.command_line import command_line
from common.domain.decisions import AttemptOutcome
from common.domain.states import TERMINAL, TRANSITIONS, State
from common.server_urls.parameters import DATABASE_PARAMETERS, REDIS_PARAMETERS, Parameter
from common.settings import Settings, all_variables
from common.store.operations import catalogue
from common.telemetry.metrics import ALL
from k8s import dashboards, reference
from tools import ROOT, api_reference, cli_reference, client_files
from tools import events as log_events
from worker.operations.entry_points import BUILT_IN, operations_of_modules

NOTE = "<!-- made by `make generate` -->\n\n"
GLOSSARY_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>jobproc: glossary</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em }}
th, td {{ text-align: left; vertical-align: top; padding: .3em 1em .3em 0; border-bottom: 1px solid #ddd }}
</style>
{body}</html>
"""


def operations() -> str:
    """Return the catalogue of the built-in operations."""
    return catalogue.as_json([operation.spec for operation in operations_of_modules(BUILT_IN).values()])


def openapi() -> str:
    """Return the OpenAPI document."""
    return json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False) + "\n"


def api() -> str:
    """Return the reference of the HTTP API."""
    return f"{NOTE}{api_reference.reference(create_app(Settings()).openapi())}"


def cli() -> str:
    """Return the reference of the command line."""
    return f"{NOTE}{cli_reference.reference()}"


def settings() -> str:
    """Return the reference of the settings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, value, meaning in all_variables():
        default = f"`{value}`" if value else ""
        rows.append(f"| `{name}` | {default} | {meaning.replace('|', '/')} |")
    text = (
        "Settings are read from the environment, or from a file `.env` in the working folder. Invalid values stop the\n"
        "start with a message that lists all of them. `python -m worker --help` lists\n"
        "those that a worker reads, and so do the other processes.\n\n"
    )
    return f"{NOTE}# Settings\n\n{text}" + "\n".join(rows) + "\n"


def server_urls() -> str:
    """Return the reference of the parameters of DATABASE_URL and REDIS_URL."""

    def table(parameters: Iterable[Parameter], *, refused: bool) -> str:
        rows = ["| parameter | variable | why not |" if refused else "| parameter | variable | values | meaning |"]
        rows.append("|---|---|---|" if refused else "|---|---|---|---|")
        for parameter in parameters:
            if parameter.refused is refused:
                cells = [f"`{parameter.name}`", f"`{parameter.variable}`" if parameter.variable else ""]
                cells += [] if refused else [", ".join(f"`{value}`" for value in parameter.values)]
                rows.append(f"| {' | '.join([*cells, parameter.text])} |")
        return "\n".join(rows)

    database, redis = DATABASE_PARAMETERS.values(), REDIS_PARAMETERS.values()
    return (
        f"{NOTE}# Parameters of the servers' URLs\n\n"
        "Every process refuses a URL that its clients would read differently, at the start and with a sentence that\n"
        "names the parameter. White space around a URL is ignored, such as the line break at the end of a file. A\n"
        "user or a password may have any characters, percent-encoded.\n\n"
        "## DATABASE_URL\n\n"
        "The API connects by asyncpg; workers, controller and migration connect by libpq. The environment variable\n"
        "is the default of its parameter.\n\n"
        f"{table(database, refused=False)}\n\nThese parameters and variables are refused, and so are all others:\n\n"
        f"{table(database, refused=True)}\n\n"
        f"## REDIS_URL\n\n`rediss://` is TLS; the parameters need it.\n\n{table(redis, refused=False)}\n\n"
        f"These parameters are refused, and so are all others:\n\n{table(redis, refused=True)}\n"
    )


def env_example() -> str:
    """Return .env.example."""
    lines = [
        "# Copy to .env and change. Without DATABASE_URL or REDIS_URL `make run` starts servers of its own.",
        "",
    ]
    for name, default, meaning in all_variables():
        lines += [f"# {meaning}", f"#{name}={default}", ""]
    return "\n".join(lines)


ERROR_TYPES = {
    AttemptOutcome.ERROR: "the operation raised; the type is the class of the exception, or `unknown_operation`",
    AttemptOutcome.PERMANENT: "not retried: an exception that the operation declares permanent, or `PermanentFailure`, "
    "`invalid_input`, `result_too_large`, `ResultNotJsonError`, `result_not_stored`",
    AttemptOutcome.TIMEOUT: "`timeout`: the attempt exceeded its time limit; `loop_blocked`: it blocked the event loop "
    "of its process; `exit_ignored`: it did not stop after an exit of one of its tasks",
    AttemptOutcome.LOST: "`worker_lost`: its process crashed, or its lease ended",
    AttemptOutcome.RELEASED: "`released`: returned to its queue unfinished; not charged to the job",
}


def errors() -> str:
    """Return the reference of HTTP problems and of the error types of attempts."""
    rows = ["| type | status | title |", "|---|---|---|"]
    rows += [f"| `{kind.type}` | {kind.status} | {kind.title} |" for kind in PROBLEM_KINDS]
    types = [
        "| outcome | error types |",
        "|---|---|",
        *(f"| `{outcome}` | {text} |" for outcome, text in ERROR_TYPES.items()),
    ]
    return (
        f"{NOTE}# Errors\n\nEvery response with a status of 400 or more is `application/problem+json` (RFC 9457).\n\n"
        + "\n".join(rows)
        + "\n\n## Outcomes of attempts without a result\n\n"
        + "\n".join(types)
        + "\n"
    )


def states() -> str:
    """Return the state machine as a diagram and a table."""
    arrows = "\n".join(f"    {before} --> {after}: {step}" for (before, step), after in TRANSITIONS.items())
    ends = "\n".join(f"    {state} --> [*]" for state in State if state in TERMINAL)
    steps = {
        state: [f"{step} → `{after}`" for (before, step), after in TRANSITIONS.items() if before is state]
        for state in State
    }
    rows = "\n".join(f"| `{state}` | {', '.join(texts)} |" for state, texts in steps.items() if texts)
    starts = "\n".join(f"    [*] --> {state}" for state in (State.PENDING, State.SCHEDULED, State.BLOCKED))
    diagram = f"```mermaid\nstateDiagram-v2\n{starts}\n{arrows}\n{ends}\n```"
    return f"{NOTE}# States of a job\n\n{diagram}\n\n| state | transitions |\n|---|---|\n{rows}\n"


def metrics() -> str:
    """Return the reference of the metrics."""
    rows = ["| metric | kind | process | labels | meaning |", "|---|---|---|---|---|"]
    for metric in ALL:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {', '.join(metric.components)} | {labels} | {metric.help} |")
    buckets = ["| histogram | upper bounds of its buckets |", "|---|---|"]
    histograms = [metric for metric in ALL if metric.buckets]
    buckets += [f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |" for metric in histograms]
    text = (
        "Each process with `JOBPROC_METRICS_PORT` (the chart: 9000) serves /metrics, in the Prometheus or the\n"
        "OpenMetrics format. A metric's name ends with its unit. Labels hold routes, operations and queues that\n"
        "jobproc knows, or `other`, never a text that a client sent. Metrics that come from the database are absent\n"
        "while it cannot be read, never 0.\n\n"
        "All controllers report the same queues and tables: aggregate them with `max`.\n\n"
    )
    return f"{NOTE}# Metrics\n\n{text}" + "\n".join(rows) + "\n\n## Buckets\n\n" + "\n".join(buckets) + "\n"


def events() -> str:
    """Return the reference of the log events."""
    text = (
        "Each line is one event, in JSON unless `JOBPROC_LOG_FORMAT` is `console`. It has `event`, `level`,\n"
        "`timestamp`, `process`, `part` and the facts below; in the API also the `request_id` of its request, which\n"
        "is the response's `X-Request-ID`. Line breaks in values are escaped. Inputs, results and secrets are never\n"
        "logged.\n\n"
    )
    return f"{NOTE}# Log events\n\n{text}" + log_events.reference()


def glossary() -> str:
    """Return the glossary as the page /docs/glossary of the API."""
    text = (ROOT / "docs" / "glossary.md").read_text()
    return GLOSSARY_PAGE.format(body=MarkdownIt("commonmark").enable("table").render(text))


FILES: dict[str, Callable[[], str]] = {
    "api/openapi/glossary.html": glossary,
    "common/store/operations/operations.json": operations,
    "docs/reference/openapi.json": openapi,
    "docs/reference/api.md": api,
    "docs/reference/settings.md": settings,
    "docs/reference/server-urls.md": server_urls,
    "docs/reference/errors.md": errors,
    "docs/reference/states.md": states,
    "docs/reference/metrics.md": metrics,
    "docs/reference/events.md": events,
    ".env.example": env_example,
    **reference.FILES,
    **dashboards.FILES,
    **client_files.FILES,
    "docs/reference/cli.md": cli,  # after the client, which the command line imports
}


def main() -> int:
    """Write or compare the files. Return the exit code."""
    parser = command_line("tools.generate", __doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of write")
    arguments = parser.parse_args()
    stale = []
    for name, make in FILES.items():
        path, text = ROOT / name, make()
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: not as generated from the code; run `make generate`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
