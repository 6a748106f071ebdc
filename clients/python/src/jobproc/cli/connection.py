"""The client of the API with the calls that the command line alone makes."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from jobproc.client import Client
from jobproc.client.connection.request import Request, Response, encoded_query, get, segment
from jobproc.client.connection.verbs import verb
from jobproc.client.views.jobs import JobList
from jobproc.client.views.view import View, nothing, view

END = "end"


def _sent(request: Request[Any]) -> Request[Any]:
    """Return a request as a call."""
    return request


def whole(response: Response) -> Response:
    """Return a response as it is, with its header."""
    return response


class Connection(Client):
    """The client of the command line."""

    send = verb(_sent)

    def job_page(self, query: Mapping[str, Any]) -> JobList:
        """Return a page of jobs."""
        page: JobList = self.send(get("/jobs/", view(JobList), **query))
        return page

    def workers(self) -> list[View]:
        """Return the worker processes."""
        return list(self.send(get("/workers", view(View))).workers)

    @cached_property
    def caller(self) -> View:
        """The caller, as the API sees it. It is read once."""
        found: View = self.send(get("/me", view(View)))
        return found

    def log_lines(self, job_id: str, run: int | None, attempt: int | None) -> Iterator[Any]:
        """Follow the log of a job until the job has ended."""
        query = encoded_query({"run": run, "attempt": attempt, "follow": True})
        request = get(f"/jobs/{segment(job_id)}/logs?{query}", nothing)

        def read(name: str, data: str) -> tuple[Any, bool]:
            return ({"name": name, **json.loads(data)}, name == END)

        lines: Iterator[Any] = self._driver.iterate(self._session.events(request, read))
        return (line for line in lines if line["name"] != END)
