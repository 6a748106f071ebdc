"""The dashboards of the chart, generated from the declared metrics."""

from collections.abc import Callable

from k8s.dashboards import api, database, overview, queues, workers

FOLDER = "charts/jobproc/dashboards"
FILES: dict[str, Callable[[], str]] = {
    f"{FOLDER}/overview.json": overview.text,
    f"{FOLDER}/workers.json": workers.text,
    f"{FOLDER}/api.json": api.text,
    f"{FOLDER}/queues.json": queues.text,
    f"{FOLDER}/database.json": database.text,
}
