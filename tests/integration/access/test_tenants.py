"""Tenants: each sees and changes its own jobs, and nothing tells it that there are others."""

import contextlib
from collections.abc import Iterator

import pytest
from rig.system import System
from rig.tenants import TenantClient, tenant_client


@pytest.fixture(scope="module")
def two(secured: System) -> Iterator[tuple[TenantClient, TenantClient]]:
    """Return clients of two tenants."""
    with contextlib.ExitStack() as stack:
        yield (
            stack.enter_context(tenant_client(secured, "acme")),
            stack.enter_context(tenant_client(secured, "globex")),
        )


def test_a_second_tenant_submits_reads_and_lists_its_own_jobs(two: tuple[TenantClient, TenantClient]) -> None:
    ours, theirs = two
    job_id = ours.submit()
    assert ours.wait(job_id)["result"] is not None
    assert job_id in ours.client.get("/jobs/").text
    assert theirs.client.get(f"/jobs/{job_id}/status").status_code == 404
    assert job_id not in theirs.client.get("/jobs/").text
