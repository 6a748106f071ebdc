"""The jobs that clients submit: their mix, their request bodies and the results that they must have."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SWELL_MIB = 64.0


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job as a client sent it. The last number of its data is unique, so its row is found without an id."""

    operation: str
    data: tuple[float, ...]

    @property
    def tag(self) -> float:
        """The number that no other job has."""
        return self.data[-1]


#: Weight of each kind of job. A kind makes a job from a source of randomness and the job's unique number.
_MIX: dict[Callable[[random.Random, float], SentJob], int] = {
    lambda _chance, tag: SentJob("square_sum", (0.5, tag)): 10,
    lambda chance, tag: SentJob("stumble", (float(chance.randint(1, 2)), tag)): 10,
    lambda _chance, tag: SentJob("fall", (1.0, tag)): 2,
    lambda _chance, tag: SentJob("swell", (SWELL_MIB, tag)): 4,
    # Up to a lease: other workers have claimed it by the time that a frozen worker resumes.
    lambda chance, tag: SentJob("await_falter", (1.0, chance.uniform(0.5, 2.0), tag)): 2,
    lambda chance, tag: SentJob("await_effect", (chance.choice([0.0, 0.01, 0.1, 0.3]), tag)): 10,
    lambda chance, tag: SentJob("effect", (chance.choice([0.0, 0.001, 0.01, 0.03]), tag)): 57,
    lambda _chance, tag: SentJob("effect", (0.3, tag)): 5,
}
_KINDS, _WEIGHTS = list(_MIX), list(_MIX.values())


def random_job(chance: random.Random, tag: float) -> SentJob:
    """Return a job of a random kind with this unique number."""
    return chance.choices(_KINDS, _WEIGHTS)[0](chance, tag)


def request_body(sent: SentJob) -> dict[str, Any]:
    """Return the body of the request that submits a job."""
    return {"operation": sent.operation, "data": list(sent.data)}


def expected_result(sent: SentJob) -> float:
    """Return the result that a job must have: the model of the operations."""
    return sum(number * number for number in sent.data) if sent.operation == "square_sum" else sent.tag
