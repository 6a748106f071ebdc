"""Declarations of the values, which the migration applies."""

from pathlib import Path
from typing import Any

import pytest
from chart.manifests import Object, environment, render

from common.schedule_definitions.file import read_schedules

pytestmark = pytest.mark.needs("helm")
SCHEDULE = ("schedules[0].name=nightly", "schedules[0].cron=30 2 * * *", "schedules[0].job.operation=square_sum")


def declared(release: Any, folder: Path) -> list[str]:
    """Return the names of the schedules in the file that the migration of a release reads."""
    spec = release.job()["spec"]["template"]["spec"]
    path = environment(spec["containers"][0])["JOBPROC_SCHEDULES_FILE"]
    (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if path.startswith(mount["mountPath"] + "/")]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    data = release.get("ConfigMap", volume["configMap"]["name"])["data"]
    file = folder / "schedules.yaml"
    file.write_text(data[Path(path).name])
    return [name for of_tenant in read_schedules(str(file)).by_tenant.values() for name in of_tenant]


def annotations(thing: Object) -> dict[str, str]:
    """Return the annotations of an object."""
    return dict(thing["metadata"].get("annotations", {}))


def test_the_migration_reads_the_schedules_of_the_values(tmp_path: Path) -> None:
    assert declared(render("default", *SCHEDULE), tmp_path) == ["nightly"]
    assert declared(render("external"), tmp_path) == ["nightly-report"]


def test_an_empty_list_declares_that_there_are_no_schedules(tmp_path: Path) -> None:
    assert declared(render("default", "schedules=[]"), tmp_path) == []


def test_without_the_value_schedules_are_as_the_api_left_them() -> None:
    release = render("default")
    assert "JOBPROC_SCHEDULES_FILE" not in environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    assert "jobproc-declarations" not in release.names("ConfigMap")


def test_other_schedules_make_another_job() -> None:
    """A Job is immutable: its name changes with what it applies."""
    names = {
        render("default", *sets).job()["metadata"]["name"]
        for sets in ((), SCHEDULE, (*SCHEDULE[:2], "schedules[0].job.operation=cube_sum"))
    }
    assert len(names) == 3


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
