"""Ids of jobs as arguments: whole, or their end."""

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from jobproc.cli.failures import NotFound
from jobproc.cli.invocation import usage

if TYPE_CHECKING:
    from jobproc.cli.invocation import Invocation

WHOLE = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
END = re.compile(r"[0-9a-fA-F-]{4,36}")
MAX_PAGES = 50  # of 20,000 jobs each, in which the end of an id is looked for


def job_id(invocation: "Invocation", text: str) -> str:
    """Return the id of a job; the end of one is looked up, newest jobs first."""
    if WHOLE.fullmatch(text):
        return text
    if not END.fullmatch(text):
        usage(f"{text!r}: the id of a job is expected, or its last eight characters")
    query: dict[str, str] = {"id_suffix": text.lower(), "limit": "10"}
    for _ in range(MAX_PAGES):
        page = invocation.client.job_page(query)
        if len(page.jobs) > 1:
            usage(f"{text}: several jobs end so, write more of the id: {', '.join(job.job_id for job in page.jobs)}")
        if page.jobs:
            return str(page.jobs[0].job_id)
        if not page.next:
            break
        query = dict(parse_qsl(urlsplit(page.next).query))
    raise NotFound(f"no job has an id that ends with {text}")
