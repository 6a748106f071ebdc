"""Panels, rows and dashboards as values, and the JSON that Grafana reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from k8s.reference import laid_out

SCHEMA = 39  # Grafana 11
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A query: one line, or one for each combination of its labels."""

    expr: str
    legend: str
    right_axis: bool = False  #: its values have another magnitude


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph, or a figure (`stat`). The description says what it shows and which values are normal."""

    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    stacked: bool = False
    max_value: float | None = None  #: top of the axis
    warn: float | None = None  #: values from here on are shown in red; with `low_is_bad` those below it
    low_is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it, left to right."""

    title: str
    panels: tuple[Panel, ...]


def graph(title: str, unit: str, description: str, *queries: Query, **options: Any) -> Panel:
    """Return a graph over time."""
    return Panel(title, unit, description, queries, **options)


def figure(title: str, unit: str, description: str, expr: str, **options: Any) -> Panel:
    """Return a figure: the current value."""
    return Panel(title, unit, description, (Query(expr, ""),), kind="stat", width=4, height=4, **options)


def _thresholds(panel: Panel) -> Json:
    good, bad = ("red", "green") if panel.low_is_bad else ("green", "red")
    steps: list[Json] = [{"color": good, "value": None}]
    if panel.warn is not None:
        steps.append({"color": bad, "value": panel.warn})
    return {"mode": "absolute", "steps": steps}


def _defaults(panel: Panel) -> Json:
    made: Json = {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)}
    if panel.max_value is not None:
        made["max"] = panel.max_value
    if panel.kind == "timeseries":
        made["color"] = {"mode": "palette-classic"}
        made["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
        }
        if panel.stacked:
            made["custom"]["stacking"] = {"mode": "normal", "group": "A"}
        elif panel.warn is not None:
            made["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return made


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        calculation = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {
            "reduceOptions": calculation,
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "auto",
            "justifyMode": "auto",
            "orientation": "auto",
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _overrides(panel: Panel) -> list[Json]:
    right = [{"id": "custom.axisPlacement", "value": "right"}]
    return [
        {"matcher": {"id": "byFrameRefID", "options": letter}, "properties": right}
        for letter, query in _lettered(panel)
        if query.right_axis
    ]


def _lettered(panel: Panel) -> list[tuple[str, Query]]:
    return [(chr(ord("A") + number), query) for number, query in enumerate(panel.queries)]


def _panel(panel: Panel, number: int, x: int, y: int) -> Json:
    targets = [
        {
            "refId": letter,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "range": True,
            "expr": query.expr,
            "legendFormat": query.legend,
        }
        | ({"exemplar": True} if query.expr.startswith("histogram_quantile(") else {})  # points that link to a trace
        for letter, query in _lettered(panel)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
        "targets": targets,
    }


def placed(rows: Sequence[Row]) -> list[Json]:
    """Return the panels of a dashboard with their ids and positions; a line has 24 columns."""
    made: list[Json] = []
    y = 0
    for row in rows:
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        y, x, line = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                y, x, line = y + line, 0, 0
            made.append(_panel(panel, len(made) + 1, x, y))
            x, line = x + panel.width, max(line, panel.height)
        y += line
    return made


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,  # when the time range changes, so that new values appear
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


VARIABLES = (
    _variable("namespace", "Namespace", "label_values(jobproc_controller_leading, namespace)"),
    _variable("queue", "Queue", 'label_values(jobproc_queue_depth{namespace=~"$namespace"}, queue)'),
    _variable("operation", "Operation", 'label_values(jobproc_attempts_total{namespace=~"$namespace"}, operation)'),
)


def dashboard(name: str, title: str, description: str, rows: Sequence[Row]) -> str:
    """Return the JSON of a dashboard, with the variables that its queries use."""
    queries = [query.expr for row in rows for panel in row.panels for query in panel.queries]
    variables = [variable for variable in VARIABLES if any(f"${variable['name']}" in expr for expr in queries)]
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}
    links = {
        "type": "dashboards",
        "title": "jobproc",
        "tags": ["jobproc"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }
    made = {
        "uid": f"jobproc-{name}",
        "title": f"jobproc: {title}",
        "description": description,
        "tags": ["jobproc"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # a shared crosshair
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [links],
        "annotations": {"list": []},
        "templating": {"list": [source, *variables]},
        "panels": placed(rows),
    }
    return laid_out(made) + "\n"
