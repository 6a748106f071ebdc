"""`make generate`: files made from the code. `--check` compares them."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from api.app import create_app
from api.web.problems import PROBLEM_KINDS
from common.domain.decisions import AttemptOutcome
from common.domain.states import TERMINAL, TRANSITIONS, State
from common.settings import Settings, name_of
from common.store.operations import catalogue
from common.telemetry.metrics import ALL
from k8s import dashboards, reference
from tools import events as log_events
from worker.operations.registry import BUILT_IN, of_modules

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- made by `make generate` -->\n\n"


def operations() -> str:
    """Return the catalogue of the built-in operations."""
    return catalogue.as_json([one.spec for one in of_modules(BUILT_IN).values()])


def openapi() -> str:
    """Return the OpenAPI document."""
    return json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False) + "\n"


def settings() -> str:
    """Return the reference of the settings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = getattr(field.default, "value", field.default)
        rows.append(f"| `{name_of(name)}` | {f'`{default}`' if default != '' else ''} | {(field.description or '').replace('|', '/')} |")
    text = "Read from the environment, or from a file `.env` in the working folder. A bad value stops the start, with all bad ones listed.\n\n"
    return f"{NOTE}# Settings\n\n{text}" + "\n".join(rows) + "\n"


def env_example() -> str:
    """Return .env.example."""
    lines = ["# Copy to .env and change what you need. Without DATABASE_URL or REDIS_URL `make run` starts servers of its own.", ""]
    for name, field in Settings.model_fields.items():
        default = getattr(field.default, "value", field.default)
        lines += [f"# {field.description}", f"#{name_of(name)}={default}", ""]
    return "\n".join(lines)


CODES = {
    AttemptOutcome.ERROR: "the operation raised; the type is the class of the exception, or `unknown_operation`",
    AttemptOutcome.PERMANENT: "not tried again: an exception the operation calls permanent, or `PermanentFailure`, `invalid_input`, "
    "`result_too_large`, `ResultNotJsonError`, `result_not_stored`",
    AttemptOutcome.TIMEOUT: "`timeout`: it ran past its time limit; `loop_blocked`: it blocked the event loop of its process",
    AttemptOutcome.LOST: "`worker_lost`: its process died, or its lease ran out",
    AttemptOutcome.RELEASED: "`released`: given back unfinished; not charged to the job",
}


def errors() -> str:
    """Return the reference of problems and of what ends attempts."""
    rows = ["| type | status | title |", "|---|---|---|"]
    rows += [f"| `{kind.type}` | {kind.status} | {kind.title} |" for kind in PROBLEM_KINDS]
    codes = ["| ended | types of its error |", "|---|---|", *(f"| `{ended}` | {text} |" for ended, text in CODES.items())]
    return (
        f"{NOTE}# Errors\n\nEvery answer of 400 or more is `application/problem+json` (RFC 9457).\n\n"
        + "\n".join(rows)
        + "\n\n## How attempts end without a result\n\n"
        + "\n".join(codes)
        + "\n"
    )


def states() -> str:
    """Return the state machine as a picture and a table."""
    arrows = "\n".join(f"    {state} --> {to}: {by}" for (state, by), to in TRANSITIONS.items())
    ends = "\n".join(f"    {state} --> [*]" for state in State if state in TERMINAL)
    rows = "\n".join(
        f"| `{state}` | {', '.join(f'{by} → `{to}`' for (of, by), to in TRANSITIONS.items() if of is state)} |"
        for state in State
        if any(of is state for of, _ in TRANSITIONS)
    )
    picture = f"```mermaid\nstateDiagram-v2\n    [*] --> PENDING\n    [*] --> SCHEDULED\n{arrows}\n{ends}\n```"
    return f"{NOTE}# States of a job\n\n{picture}\n\n| state | steps |\n|---|---|\n{rows}\n"


def metrics() -> str:
    """Return the reference of the metrics."""
    rows = ["| metric | kind | of | labels | meaning |", "|---|---|---|---|---|"]
    for one in ALL:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {', '.join(one.components)} | {labels} | {one.help} |")
    buckets = ["| histogram | upper bounds of its buckets |", "|---|---|"]
    buckets += [f"| `{one.name}` | {', '.join(f'{bound:g}' for bound in one.buckets)} |" for one in ALL if one.buckets]
    text = (
        "On /metrics of each process with `JOBPROC_METRICS_PORT` (the chart: 9000), in the Prometheus or the OpenMetrics format. A unit is the end of a name.\n"
        "Labels hold routes, operations and queues that jobproc knows, or `other`; never what a client sent. What the database tells is absent while it\n"
        "cannot be read, never 0.\n\n"
        "Several controllers say the same of queues and tables: take the `max`.\n\n"
    )
    return f"{NOTE}# Metrics\n\n{text}" + "\n".join(rows) + "\n\n## Buckets\n\n" + "\n".join(buckets) + "\n"


def events() -> str:
    """Return the reference of the log's events."""
    text = (
        "One line is one event, JSON unless `JOBPROC_LOG_FORMAT` says otherwise: `event`, `level`, `timestamp`, `process`, `part`, in the API the\n"
        "`request_id` of the request that led to it (as in `X-Request-ID` of the answer), and the facts below. A line break in a value is escaped.\n"
        "Inputs, results and secrets are never logged.\n\n"
    )
    return f"{NOTE}# Log events\n\n{text}" + log_events.reference()


FILES: dict[str, Callable[[], str]] = {
    "common/store/operations/operations.json": operations,
    "docs/reference/openapi.json": openapi,
    "docs/reference/settings.md": settings,
    "docs/reference/errors.md": errors,
    "docs/reference/states.md": states,
    "docs/reference/metrics.md": metrics,
    "docs/reference/events.md": events,
    ".env.example": env_example,
    **reference.FILES,
    **dashboards.FILES,
}


def main() -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
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
        print(f"{', '.join(stale)}: not what the code makes; run `make generate`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
