"""Values that cannot work are refused before anything reaches the cluster, in a sentence that says what to set."""

import shutil
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types
from chart.manifests import CHART, KUBERNETES, helm, refusal, render, template

EXTERNAL = ("postgresql.enabled=false", "externalDatabase.existingSecret=x")
KEDA_HPA = ("keda.enabled=true", "worker.autoscaling.enabled=true")


@pytest.mark.parametrize(
    ("sentence", "sets"),
    [
        ("There is no database: set postgresql.enabled=true, or externalDatabase.existingSecret", ("postgresql.enabled=false",)),
        ("There are two databases: set postgresql.enabled=false, or leave externalDatabase.existingSecret empty.", ("externalDatabase.existingSecret=x",)),
        ("There is no Redis: set redis.enabled=true, or externalRedis.existingSecret", ("redis.enabled=false",)),
        ("There are two Redis: set redis.enabled=false, or leave externalRedis.existingSecret empty.", ("externalRedis.existingSecret=x",)),
        ("The external database has no host: set externalDatabase.host", (*EXTERNAL, "externalDatabase.keys.url=")),
        ("The external database has no user: set externalDatabase.user", (*EXTERNAL, "externalDatabase.keys.url=", "externalDatabase.host=x")),
        (
            "The external database has no database: set externalDatabase.database",
            (*EXTERNAL, "externalDatabase.keys.url=", "externalDatabase.host=x", "externalDatabase.keys.user=u"),
        ),
        (
            "The external Redis has no host: set externalRedis.host",
            ("redis.enabled=false", "externalRedis.existingSecret=x", "externalRedis.keys.url="),
        ),
        ("There is no pool of workers, so no job would ever run: name one under worker.pools.", ("worker.pools.default=null", "worker.requiredQueues=null")),
        ("No pool serves the queue mail: add it to the queues of a pool", ("worker.requiredQueues={default,mail}",)),
        ("The pool default has two autoscalers: set autoscaling.enabled=false, or keda.enabled=false for it.", KEDA_HPA),
        ("The pool default has minReplicas 4 above maxReplicas 3.", ("keda.enabled=true", "worker.minReplicas=4", "worker.maxReplicas=3")),
        ("The pool default scales by Prometheus: set keda.prometheus.serverAddress.", ("keda.enabled=true", "keda.trigger=prometheus")),
        ("The API has minReplicas 6 above maxReplicas 5.", ("api.autoscaling.enabled=true", "api.autoscaling.minReplicas=6")),
        ("The Ingress has no host: set ingress.hosts.", ("ingress.enabled=true",)),
        ("The HTTPRoute hangs on no Gateway: set httpRoute.parentRefs.", ("httpRoute.enabled=true",)),
    ],
)
def test_a_contradiction_is_said_in_a_sentence(sentence: str, sets: tuple[str, ...]) -> None:
    assert sentence in refusal(*sets)


def test_one_autoscaler_may_go_to_one_pool_and_the_other_to_another() -> None:
    release = render(
        "default",
        "keda.enabled=true",
        "worker.pools.other.queues={other}",
        "worker.pools.other.keda.enabled=false",
        "worker.pools.other.autoscaling.enabled=true",
    )
    assert release.names("ScaledObject") == {"jobproc-worker-default"}
    assert release.names("HorizontalPodAutoscaler") == {"jobproc-worker-other"}


# 2 API pods x 5, the pool's 1 pod x (2 + 1), 2 controllers x 3: 19, and 20 in reserve.
@pytest.mark.parametrize(
    ("connections", "sets"),
    [
        (19, ()),
        (34, ("api.autoscaling.enabled=true",)),
        (29, ("settings.JOBPROC_API_POOL_CONNECTIONS=10",)),
        (46, ("keda.enabled=true",)),
        (66, ("keda.enabled=true", "worker.concurrency=4")),
        (56, ("keda.enabled=true", "worker.pools.long.queues={long}", "worker.pools.long.concurrency=1", "worker.pools.long.maxReplicas=5")),
        (22, ("controller.replicas=3",)),
    ],
)
def test_the_pods_open_no_more_connections_than_the_database_takes(connections: int, sets: tuple[str, ...]) -> None:
    fits = template(*(part for one in (*sets, f"postgresql.maxConnections={connections + 20}") for part in ("--set", one)))
    assert fits.returncode == 0, fits.stderr
    refused = refusal(*sets, f"postgresql.maxConnections={connections + 19}")
    assert f"The pods may open {connections} connections (" in refused
    assert f"which with 20 reserved is more than postgresql.maxConnections={connections + 19}: have fewer pods, or raise it." in refused


def test_the_connections_of_an_external_database_are_counted_where_it_says_how_many() -> None:
    external = (*EXTERNAL, "worker.replicas=100")
    assert render("external", "worker.maxReplicas=50").all("Deployment")
    assert "is more than externalDatabase.maxConnections=100" in refusal(*external, "externalDatabase.maxConnections=100")
    assert template(*(part for one in external for part in ("--set", one))).returncode == 0


def test_an_old_kubernetes_is_refused() -> None:
    done = template("--kube-version", "1.29.5")
    assert done.returncode != 0
    assert "chart requires kubeVersion: >=1.30.0-0" in done.stderr


@pytest.mark.parametrize(
    ("said", "sets"),
    [
        (["service/jobproc-api 8000", "http://127.0.0.1:8000/jobs/ -H", "/jobs/JOB_ID/result", "default: queues default; 1 pods, 2 processes each"], ()),
        (["PostgreSQL and Redis came with the chart", "delete pvc data-jobproc-postgresql-0"], ()),
        (["default: queues default; 0 to 10 pods by depth (KEDA)"], ("keda.enabled=true",)),
        (["default: queues default; 1 to 10 pods by CPU", "\n\nRedis came with"], ("worker.autoscaling.enabled=true", *EXTERNAL)),
    ],
)
def test_the_notes_say_the_next_three_commands_and_what_stays(said: list[str], sets: tuple[str, ...], tmp_path: Path) -> None:
    """Helm shows notes of an installation only, so here they are the text of an object."""
    chart = shutil.copytree(CHART, tmp_path / "jobproc")
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(f'{{{{- define "notes" }}}}{notes}{{{{ end }}}}notes: {{{{ include "notes" . | toJson }}}}')
    arguments = [part for one in sets for part in ("--set", one)]
    done = helm("template", "jobproc", str(chart), "--kube-version", KUBERNETES, "--show-only", "templates/notes.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)["notes"]
    assert [text for text in said if text not in shown] == [], shown
