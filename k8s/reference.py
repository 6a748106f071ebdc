"""Generate the table of values in the chart's README, and the settings in its schema."""  # noqa: INP001 - not a package

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML carries no types

from common.settings import Settings, name_of, secret_variables
from common.settings.migration import MigrationSettings

CHART = Path(__file__).resolve().parent.parent / "charts" / "jobproc"
MARK = "<!-- below: made by `make generate` from the comments of values.yaml -->\n"
WIDTH = 150
#: Settings that the chart sets itself.
OWN = {
    name_of(field)
    for field in (
        "database_url",
        "redis_url",
        "shutdown_grace_seconds",
        "keepalive_drain_seconds",
        "metrics_port",
        "metrics_port_tries",
        "trusted_proxies",
        "root_path",
    )
}
OWN |= {name_of(field) for field in ("allowed_hosts", "health_file", "pod_name", "pod_deletion_cost_selector")}
OWN |= {name_of(field) for field in MigrationSettings.model_fields if field != "queues_file"}
#: Their place is a Secret, not the values of a release.
OWN |= set(secret_variables())
#: Those of `authentication`, `oidc`, `worker.apiKey` and `api.tls`.
OWN |= {name_of(field) for field in ("authentication", "unauthenticated_network", "console_sign_in")}
OWN |= {name_of(f"tls_{field}_file") for field in ("certificate", "key", "client_ca")}
OWN |= {
    name_of(f"oidc_{field}")
    for field in (
        "issuer",
        "audiences",
        "tenant_claim",
        "tenant_mapping",
        "default_tenant",
        "scopes_claims",
        "scopes_mapping",
        "client_id",
        "redirect_url",
        "sign_in_scope",
        "ca_file",
    )
}
KEY = re.compile(r"( *)([A-Za-z]\w*):")


def documented(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each key with a `# --` comment above it, and the comment as one line."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if stripped := re.match(r" *# ?(.*)", line):
            if stripped[1].startswith("-- "):
                comment = [stripped[1].removeprefix("-- ")]
            elif comment:
                comment.append(stripped[1])
        elif key := KEY.match(line):
            path = [parent for parent in path if parent[0] < len(key[1])] + [(len(key[1]), key[2])]
            if comment:
                yield tuple(name for _, name in path), " ".join(comment)
            comment = []
        else:
            comment = []


def rows(chart: Path, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the table rows of a chart's values. `prefix`: the path of the chart in its parent."""
    text = (chart / "values.yaml").read_text()
    values = yaml.safe_load(text)
    for path, comment in documented(text):
        default: Any = values
        for key in path:
            default = default[key]
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        yield f"| `{'.'.join(prefix + path)}` | `{shown}` | {comment.replace('|', '/')} |"


def readme() -> str:
    """Return the chart's README: the hand-written part unchanged, then the table of values."""
    written = (CHART / "README.md").read_text().partition(MARK)[0]
    table = [*rows(CHART), *(row for name in ("postgresql", "redis") for row in rows(CHART / "charts" / name, (name,)))]
    return written + MARK + "\n" + "\n".join(["| key | default | meaning |", "|---|---|---|", *table]) + "\n"


def schema() -> str:
    """Return the chart's JSON schema with the settings of this version."""
    made = json.loads((CHART / "values.schema.json").read_text())
    names = sorted({name_of(field) for field in Settings.model_fields} - OWN)
    made["properties"]["settings"]["properties"] = {name: {"type": ["string", "number", "boolean"]} for name in names}
    return laid_out(made) + "\n"


def laid_out(value: object, depth: int = 0) -> str:
    """Return JSON in which every value that fits into WIDTH is on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(line) + depth <= WIDTH:
        return line
    inner = " " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key)}: {laid_out(member, depth + 1)}" for key, member in value.items()]
    else:
        parts = [f"{inner}{laid_out(item, depth + 1)}" for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{' ' * depth}{closing}"


FILES: dict[str, Callable[[], str]] = {"charts/jobproc/README.md": readme, "charts/jobproc/values.schema.json": schema}
