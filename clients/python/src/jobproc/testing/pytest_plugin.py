"""The pytest plugin: the fixtures `jobproc_run` and `jobproc_server`. Nothing else of the package imports pytest."""

import os
from collections.abc import Iterator

import pytest
from typing_extensions import Unpack

from jobproc.testing.outcomes import Outcome, SubmittedJob, SubmittedWorkflow
from jobproc.testing.running import AnyOperation, RunOptions, arun, run
from jobproc.testing.server import (
    KEY_VARIABLE,
    REPOSITORY_VARIABLE,
    URL_VARIABLE,
    EmbeddedServer,
    Server,
    ServerError,
    repository_at,
)


class Runner:
    """Runs operations in a test, with the same delay of retries each time, and keeps what they submit."""

    def __init__(self) -> None:
        self.submitted: list[SubmittedJob] = []  #: by all operations of the test, in order
        self.workflows: list[SubmittedWorkflow] = []  #: likewise
        self.defaults: RunOptions = {"jitter": 0.0}  #: of every run; a test may change them

    def __call__(self, operation: AnyOperation, job_input: object = None, /, **options: Unpack[RunOptions]) -> Outcome:
        """Run one attempt; see jobproc.testing.run."""
        merged: RunOptions = {**self.defaults, **options}
        return self._kept(run(operation, job_input, **merged))

    async def arun(
        self, operation: AnyOperation, job_input: object = None, /, **options: Unpack[RunOptions]
    ) -> Outcome:
        """Run one attempt in the running event loop; see jobproc.testing.arun."""
        merged: RunOptions = {**self.defaults, **options}
        return self._kept(await arun(operation, job_input, **merged))

    def _kept(self, outcome: Outcome) -> Outcome:
        self.submitted.extend(outcome.submitted)
        self.workflows.extend(outcome.workflows)
        return outcome


@pytest.fixture
def jobproc_run() -> Runner:
    """Run operations in the process of the test."""
    return Runner()


@pytest.fixture(scope="session")
def jobproc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a jobproc system once a session, of each process of pytest-xdist one, or use the one that is named."""
    if url := os.environ.get(URL_VARIABLE):
        server = Server(url, os.environ.get(KEY_VARIABLE, ""))
        if not server.is_ready():
            raise ServerError(f"{URL_VARIABLE}={url}: no jobproc is ready there")
        yield server
        return
    repository = repository_at(os.environ.get(REPOSITORY_VARIABLE))
    if repository is None:
        pytest.skip(
            f"no jobproc server: set {REPOSITORY_VARIABLE} to a folder with its repository, "
            f"or {URL_VARIABLE} to the URL of one that runs"
        )
    embedded = EmbeddedServer(repository, tmp_path_factory.mktemp("jobproc"))
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()
