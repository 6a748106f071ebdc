"""Contradictory values: helm rejects them before anything reaches the cluster, with a sentence that names the fix."""

import shutil
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, KUBERNETES, helm, refusal, render, template

pytestmark = pytest.mark.needs("helm")

EXTERNAL = ("postgresql.enabled=false", "externalDatabase.existingSecret=x")
KEDA_HPA = ("keda.enabled=true", "worker.autoscaling.enabled=true")


@pytest.mark.parametrize(
    ("sentence", "sets"),
    [
        (
            "There is no database: set postgresql.enabled=true, or externalDatabase.existingSecret",
            ("postgresql.enabled=false",),
        ),
        (
            "There are two databases: set postgresql.enabled=false, or leave externalDatabase.existingSecret empty.",
            ("externalDatabase.existingSecret=x",),
        ),
        ("There is no Redis: set redis.enabled=true, or externalRedis.existingSecret", ("redis.enabled=false",)),
        (
            "There are two Redis: set redis.enabled=false, or leave externalRedis.existingSecret empty.",
            ("externalRedis.existingSecret=x",),
        ),
        ("The external database has no host: set externalDatabase.host", (*EXTERNAL, "externalDatabase.keys.url=")),
        (
            "The external database has no user: set externalDatabase.user",
            (*EXTERNAL, "externalDatabase.keys.url=", "externalDatabase.host=x"),
        ),
        (
            "The external database has no database: set externalDatabase.database",
            (*EXTERNAL, "externalDatabase.keys.url=", "externalDatabase.host=x", "externalDatabase.keys.user=u"),
        ),
        (
            "A URL has one user, but databaseRoles has one for each part: set externalDatabase.keys.url to empty",
            (*EXTERNAL, "databaseRoles.existingSecret=x"),
        ),
        (
            "The external Redis has no host: set externalRedis.host",
            ("redis.enabled=false", "externalRedis.existingSecret=x", "externalRedis.keys.url="),
        ),
        (
            "There is no pool of workers, so no job would ever run: name one under worker.pools.",
            ("worker.pools.default=null", "worker.requiredQueues=null"),
        ),
        ("No pool serves the queue mail: add it to the queues of a pool", ("worker.requiredQueues={default,mail}",)),
        (
            "The pool default has two autoscalers: set autoscaling.enabled=false, or keda.enabled=false for it.",
            KEDA_HPA,
        ),
        (
            "The pool default has minReplicas 4 above maxReplicas 3.",
            ("keda.enabled=true", "worker.minReplicas=4", "worker.maxReplicas=3"),
        ),
        (
            "The pool default scales by Prometheus: set keda.prometheus.serverAddress.",
            ("keda.enabled=true", "keda.trigger=prometheus"),
        ),
        (
            "The API has minReplicas 6 above maxReplicas 5.",
            ("api.autoscaling.enabled=true", "api.autoscaling.minReplicas=6"),
        ),
        (
            "There are two declarations of schedules: set schedules=null, or leave settings.JOBPROC_SCHEDULES_FILE",
            ("schedules[0].name=x,schedules[0].job.operation=x", "settings.JOBPROC_SCHEDULES_FILE=/x"),
        ),
        (
            "There are two declarations of queues: set queues=null, or leave settings.JOBPROC_QUEUES_FILE",
            ("queues[0].name=x", "settings.JOBPROC_QUEUES_FILE=/x"),
        ),
        ("The Ingress has no host: set ingress.hosts.", ("ingress.enabled=true",)),
        ("The HTTPRoute hangs on no Gateway: set httpRoute.parentRefs.", ("httpRoute.enabled=true",)),
        (
            "The HTTPRoute has no host name, and the API refuses names that it does not know: set httpRoute.hostnames",
            ("httpRoute.enabled=true", "httpRoute.parentRefs[0].name=x"),
        ),
        (
            "The Ingress is for every host name, but the API refuses names that it does not know: set api.allowedHosts",
            ("ingress.enabled=true", "ingress.hosts[0].host=,ingress.hosts[0].paths[0].path=/"),
        ),
    ],
)
def test_a_contradiction_is_rejected_with_a_sentence(sentence: str, sets: tuple[str, ...]) -> None:
    assert sentence in refusal(*sets)


def test_each_pool_may_have_a_different_autoscaler() -> None:
    release = render(
        "default",
        "keda.enabled=true",
        "worker.pools.other.queues={other}",
        "worker.pools.other.keda.enabled=false",
        "worker.pools.other.autoscaling.enabled=true",
        "postgresql.maxConnections=120",
    )
    assert release.names("ScaledObject") == {"jobproc-worker-default"}
    assert release.names("HorizontalPodAutoscaler") == {"jobproc-worker-other"}


# 2 API pods x 5, the pool's 1 pod x (2 + 2), 2 controllers x 3: 20, and 20 in reserve.
@pytest.mark.parametrize(
    ("connections", "sets"),
    [
        (20, ()),
        (35, ("api.autoscaling.enabled=true",)),
        (30, ("settings.JOBPROC_API_POOL_CONNECTIONS=10",)),
        (56, ("keda.enabled=true",)),
        (76, ("keda.enabled=true", "worker.concurrency=4")),
        (
            71,
            (
                "keda.enabled=true",
                "worker.pools.long.queues={long}",
                "worker.pools.long.concurrency=1",
                "worker.pools.long.maxReplicas=5",
            ),
        ),
        (23, ("controller.replicas=3",)),
    ],
)
def test_values_are_rejected_if_the_pods_may_open_more_connections_than_the_database_accepts(
    connections: int, sets: tuple[str, ...]
) -> None:
    enough = (*sets, f"postgresql.maxConnections={connections + 20}")
    accepted = template(*(part for value in enough for part in ("--set", value)))
    assert accepted.returncode == 0, accepted.stderr
    limit = f"postgresql.maxConnections={connections + 19}"
    message = refusal(*sets, limit)
    assert f"The pods may open {connections} connections (" in message
    assert f"which with 20 reserved is more than {limit}: have fewer pods, or raise it." in message


def test_the_connections_to_an_external_database_are_checked_if_its_limit_is_set() -> None:
    external = (*EXTERNAL, "worker.replicas=100")
    assert render("external", "worker.maxReplicas=45").all("Deployment")
    assert "is more than externalDatabase.maxConnections=100" in refusal(
        *external, "externalDatabase.maxConnections=100"
    )
    assert template(*(part for value in external for part in ("--set", value))).returncode == 0


def test_an_old_kubernetes_is_rejected() -> None:
    done = template("--kube-version", "1.29.5")
    assert done.returncode != 0
    assert "chart requires kubeVersion: >=1.30.0-0" in done.stderr


@pytest.mark.parametrize(
    ("texts", "sets"),
    [
        (
            [
                "service/jobproc-api 8000",
                "http://127.0.0.1:8000/jobs/",
                "export JOBPROC_API_KEY=$(kubectl -n default get secret jobproc-first-api-key -o go-template=",
                """'{{index .data "api-key" | base64decode}}')""",
                '/jobs/ -H "Authorization: Bearer $JOBPROC_API_KEY" -H',
                '/jobs/JOB_ID/result -H "Authorization: Bearer $JOBPROC_API_KEY"',
                "default: queues default; 1 pods, 2 processes each",
            ],
            (),
        ),
        (
            ["/jobs/JOB_ID/result\n", "Authentication is OFF"],
            ("authentication.enabled=false", "authentication.acceptUnauthenticatedNetwork=true"),
        ),
        (["PostgreSQL and Redis came with the chart", "delete pvc data-jobproc-postgresql-0"], ()),
        (["default: queues default; 0 to 10 pods by depth (KEDA)"], ("keda.enabled=true",)),
        (
            ["default: queues default; 1 to 10 pods by CPU", "\n\nRedis came with"],
            ("worker.autoscaling.enabled=true", *EXTERNAL),
        ),
    ],
)
def test_the_notes_contain_the_next_commands_and_what_an_uninstall_leaves(
    texts: list[str], sets: tuple[str, ...], tmp_path: Path
) -> None:
    """Helm shows the notes of an installation only, so the test renders them as the text of an object."""
    chart = shutil.copytree(CHART, tmp_path / "jobproc")
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        f'{{{{- define "notes" }}}}{notes}{{{{ end }}}}notes: {{{{ include "notes" . | toJson }}}}'
    )
    arguments = [part for value in sets for part in ("--set", value)]
    show = ["--show-only", "templates/notes.yaml"]
    done = helm("template", "jobproc", str(chart), "--kube-version", KUBERNETES, *show, *arguments)
    assert done.returncode == 0, done.stderr
    rendered = yaml.safe_load(done.stdout)["notes"]
    assert [text for text in texts if text not in rendered] == [], rendered
