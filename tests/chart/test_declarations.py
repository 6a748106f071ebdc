"""Declarations of the values, which the migration applies."""

from pathlib import Path
from typing import Any

import pytest
from chart.manifests import Object, environment, render

from common.queue_definitions.file import read_queues
from common.schedule_definitions.file import read_schedules

pytestmark = pytest.mark.needs("helm")
SCHEDULE = ("schedules[0].name=nightly", "schedules[0].cron=30 2 * * *", "schedules[0].job.operation=square_sum")
QUEUE = ("queues[0].name=mail", "queues[0].concurrency=4", "queues[0].tenant=acme")


def file_of(release: Any, setting: str, folder: Path) -> str:
    """Write the file that the migration of a release reads by a setting; return its path."""
    spec = release.job()["spec"]["template"]["spec"]
    path = environment(spec["containers"][0])[setting]
    (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if path.startswith(mount["mountPath"] + "/")]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    data = release.get("ConfigMap", volume["configMap"]["name"])["data"]
    file = folder / Path(path).name
    file.write_text(data[file.name])
    return str(file)


def declared(release: Any, folder: Path) -> list[str]:
    """Return the names of the schedules in the file that the migration of a release reads."""
    of_tenants = read_schedules(file_of(release, "JOBPROC_SCHEDULES_FILE", folder)).by_tenant
    return [name for of_tenant in of_tenants.values() for name in of_tenant]


def declared_queues(release: Any, folder: Path) -> dict[tuple[str | None, str], Any]:
    """Return the limits of queues in the file that the migration of a release reads."""
    queues = read_queues(file_of(release, "JOBPROC_QUEUES_FILE", folder)).limits
    return {place: queue.model_dump(exclude_unset=True, exclude={"name", "tenant"}) for place, queue in queues.items()}


def annotations(thing: Object) -> dict[str, str]:
    """Return the annotations of an object."""
    return dict(thing["metadata"].get("annotations", {}))


def test_the_migration_reads_the_schedules_of_the_values(tmp_path: Path) -> None:
    assert declared(render("default", *SCHEDULE), tmp_path) == ["nightly"]
    assert declared(render("external"), tmp_path) == ["nightly-report"]


def test_the_migration_reads_the_queues_of_the_values(tmp_path: Path) -> None:
    release = render("default", *QUEUE)
    assert declared_queues(release, tmp_path) == {("acme", "mail"): {"concurrency": 4}}
    assert "JOBPROC_SCHEDULES_FILE" not in environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    large = ("queues[0].rate.per_second=1000000", "queues[0].rate.burst=1000000")
    rate = declared_queues(render("default", *QUEUE, *large), tmp_path)["acme", "mail"]["rate"]
    assert rate == {"per_second": 1_000_000, "burst": 1_000_000}, "a number stays one"
    assert declared_queues(render("default", *SCHEDULE, "queues=[]"), tmp_path) == {}
    limits = {"concurrency": 40, "rate": {"per_second": 50, "burst": 10}}
    assert declared_queues(render("external"), tmp_path) == {(None, "default"): limits}


def test_an_empty_list_declares_that_there_are_no_schedules(tmp_path: Path) -> None:
    assert declared(render("default", "schedules=[]"), tmp_path) == []


def test_without_the_values_schedules_and_queues_are_as_the_api_left_them() -> None:
    release = render("default")
    names = environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    assert not {"JOBPROC_SCHEDULES_FILE", "JOBPROC_QUEUES_FILE"} & names.keys()
    assert "jobproc-declarations" not in release.names("ConfigMap")


def test_other_declarations_make_another_job() -> None:
    """A Job is immutable: its name changes with what it applies."""
    names = {
        render("default", *sets).job()["metadata"]["name"]
        for sets in ((), SCHEDULE, (*SCHEDULE[:2], "schedules[0].job.operation=cube_sum"), QUEUE, QUEUE[:2])
    }
    assert len(names) == 5


def test_before_an_external_database_the_file_is_there_before_the_migration() -> None:
    release = render("external")
    file, job = annotations(release.get("ConfigMap", "jobproc-declarations")), annotations(release.job())
    assert file["helm.sh/hook"] == job["helm.sh/hook"]
    assert int(file["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    assert file["helm.sh/hook-delete-policy"] == "before-hook-creation", "the next release replaces it"
    assert not {
        name
        for name in annotations(render("default", *SCHEDULE).get("ConfigMap", "jobproc-declarations"))
        if "hook" in name
    }
