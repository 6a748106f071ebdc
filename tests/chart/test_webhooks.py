"""Webhooks in the chart: who knows the key, and that a pool serves their queue."""

import pytest
from chart.manifests import environment, from_secret, refusal, render

pytestmark = pytest.mark.needs("helm")
KEY = "webhooks.encryptionKey.existingSecret=jobs-webhooks"
QUEUES = "worker.pools.default.queues={default,webhooks}"
VARIABLE = "JOBPROC_WEBHOOK_ENCRYPTION_KEY"


def test_the_api_and_the_pools_that_deliver_know_the_key_and_no_other_pod_does() -> None:
    release = render("default", KEY, QUEUES)
    for name, knows in (("jobproc-api", True), ("jobproc-worker-default", True), ("jobproc-controller", False)):
        variables = environment(release.get("Deployment", name)["spec"]["template"]["spec"]["containers"][0])
        assert variables.get(VARIABLE) == (from_secret("jobs-webhooks", "encryption-key") if knows else None), name


def test_without_a_pool_that_delivers_the_key_is_refused_with_a_sentence() -> None:
    assert "No pool serves the queue webhooks" in refusal(KEY)


def test_without_a_secret_no_pod_has_the_variable() -> None:
    for _, pod in render().pods():
        for container in pod["spec"]["containers"]:
            assert VARIABLE not in environment(container)
