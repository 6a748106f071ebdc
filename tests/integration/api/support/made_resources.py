"""Resources of which the documented requests name one, made for them."""

import uuid
from typing import Any

from integration.api.support.documented_examples import body_examples
from rig.system import System


class MadeResources:
    """Makes resources of a system through its API."""

    def __init__(self, system: System) -> None:
        self.system = system

    def edit(self, row_id: str, *statements: str) -> str:
        """Run statements on the row of a job or bulk action; return its id."""
        for sql in statements:
            self.system.database.rows(sql, (row_id,))
        return row_id

    def schedule(self) -> str:
        """Create the documented schedule, with a name of its own; return its id."""
        (body,) = body_examples(("post", "/schedules"))
        answer = self.system.client.post("/schedules", json=body | {"name": f"s-{uuid.uuid4()}"})
        return str(answer.raise_for_status().json()["id"])

    def queue(self) -> str:
        """Make a queue known by a policy; return its name."""
        return self.edit(f"q-{uuid.uuid4()}", "INSERT INTO queue_policies (queue, rev) VALUES (%s, 1)")

    def endpoint(self, **members: Any) -> str:
        """Create the documented endpoint of webhooks; return its id."""
        (body,) = body_examples(("post", "/webhooks/endpoints"))
        answer = self.system.client.post("/webhooks/endpoints", json=body | members)
        return str(answer.raise_for_status().json()["id"])

    def delivery(self) -> str:
        """Send a test event to an endpoint; return the id of its delivery."""
        return str(self.system.client.post(f"/webhooks/endpoints/{self.endpoint()}/test").json()["job_id"])

    def key(self) -> str:
        """Create an API key; return its id."""
        body = {"name": "billing", "scopes": ["jobs:read"]}
        return str(self.system.client.post("/keys", json=body).raise_for_status().json()["id"])

    def tenant(self, *verbs: str) -> str:
        """Create a tenant, then suspend, resume, drain or remove it as `verbs` say; return its name."""
        name = f"acme-{uuid.uuid4().hex}"
        self.system.client.post("/tenants", json={"name": name}).raise_for_status()
        for verb in verbs:
            self.system.client.post(f"/tenants/{name}/{verb}").raise_for_status()
        return name
