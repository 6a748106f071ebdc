"""Workflows: handles of one, and the verbs of clients about any."""

from typing import Any

from jobproc.client.calls import workflows
from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.verbs import D, Resource, Thing, items, own_items, own_verb, verb
from jobproc.client.views.workflows import WorkflowNode, WorkflowSummary, WorkflowView


class WorkflowVerbs(Resource[D]):
    """The verbs of a client about workflows."""

    submit = verb(workflows.submit)
    get = verb(workflows.workflow)
    cancel = verb(workflows.cancel)
    retry = verb(workflows.retry)
    jobs = items(workflows.nodes, WorkflowNode)
    page = verb(workflows.page)
    list = items(workflows.workflows, WorkflowSummary)


class WorkflowHandle(Thing[D]):
    """The verbs of one workflow."""

    details = own_verb(workflows.workflow)
    cancel = own_verb(workflows.cancel)
    retry = own_verb(workflows.retry)
    jobs = own_items(workflows.nodes, WorkflowNode)

    def _wait(self, timeout: float | None) -> Any:
        return self._run(workflows.wait(self.id, timeout, self._session.clock))


class Workflow(WorkflowHandle[Driver]):
    """A workflow."""

    def wait(self, timeout: float | None = None) -> WorkflowView:
        """Wait until it is at rest: no job of it is unfinished. Raises TimeoutError."""
        view: WorkflowView = self._wait(timeout)
        return view


class AsyncWorkflow(WorkflowHandle[AsyncDriver]):
    """A workflow, for `AsyncClient`."""

    async def wait(self, timeout: float | None = None) -> WorkflowView:
        """Wait until it is at rest: no job of it is unfinished. Raises TimeoutError."""
        view: WorkflowView = await self._wait(timeout)
        return view
