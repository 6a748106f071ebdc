"""compose.yaml as data: its services by their roles."""

from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import ROOT

FILE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
PARTS = ("api", "migrate", "worker", "controller")
FIRST_KEY = "first-key"  # prints the first API key, when it is asked to
SERVERS = ("postgres", "redis")
OBSERVERS = ("prometheus", "jaeger", "grafana")  # of the profile `observability`
