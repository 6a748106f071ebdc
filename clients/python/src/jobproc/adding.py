"""Jobs that an operation adds to the workflow of its job."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import TypedDict

from jobproc.errors import SubmissionError
from jobproc.submission import json_of

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")
MAX_PRIORITY, MAX_ATTEMPTS = 9, 1_000
POLICIES = ("fail", "skip", "run")


class AddOptions(TypedDict, total=False):
    """Options of a job that is added to a workflow."""

    name: str  #: behind the name of the running job and `/`; default: its number among the added ones, from 1
    depends_on: Sequence[str]  #: names of jobs that this attempt has added before; default: it may run at once
    on_parent_failure: Literal["fail", "skip", "run"]  #: default: fail
    queue: str  #: one of those that the operation allows
    priority: int  #: 0, first, to 9; default: 5
    timeout_seconds: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class JobToAdd:
    """A job that is stored with the result of the attempt."""

    name: str
    operation: str
    input: str  #: JSON text
    options: Mapping[str, Any]


class JobsToAdd(list[JobToAdd]):
    """The jobs that one attempt has added so far."""

    def add(self, operation: str, job_input: object, options: AddOptions, most: int) -> str:
        """Add a job and return its name. Raises SubmissionError, which names the job and the option."""
        name = options.get("name", str(len(self) + 1))
        described = f"the job {name!r} for {operation!r} was not added"
        if len(self) >= most:
            raise SubmissionError(f"{described}: an attempt adds at most {most} jobs")
        for reason in self._reasons(name, options):
            raise SubmissionError(f"{described}: {reason}")
        text = "{}" if job_input is None else json_of(job_input, f"the input of the job {name!r} for {operation!r}")
        self.append(JobToAdd(name, operation, text, dict(options)))
        return name

    def _reasons(self, name: str, options: AddOptions) -> list[str]:
        """Return the reasons for which a job cannot be added."""
        reasons = [f"it has no option {option!r}" for option in options if option not in AddOptions.__annotations__]
        known = {job.name for job in self}
        if not NAME.fullmatch(name):
            reasons.append("the name has up to 100 letters, digits, and `_`, `-`, `.`, `:`")
        if name in known:
            reasons.append("an earlier one has the same name")
        parents = options.get("depends_on", ())
        reasons += [f"depends_on: no job {parent!r} was added before" for parent in parents if parent not in known]
        if len(set(parents)) < len(parents):
            reasons.append("depends_on: a name stands twice in it")
        if options.get("on_parent_failure", "fail") not in POLICIES:
            reasons.append(f"on_parent_failure: one of {', '.join(POLICIES)} is expected")
        if not 0 <= options.get("priority", 0) <= MAX_PRIORITY:
            reasons.append(f"priority: 0 to {MAX_PRIORITY} is expected")
        if not 1 <= options.get("max_attempts", 1) <= MAX_ATTEMPTS:
            reasons.append(f"max_attempts: 1 to {MAX_ATTEMPTS} is expected")
        if not 0 < options.get("timeout_seconds", 1.0) < math.inf:
            reasons.append("timeout_seconds: a positive number is expected")
        return reasons
