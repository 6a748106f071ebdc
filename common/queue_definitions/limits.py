"""The limits of a policy of a queue. Descriptions are API documentation."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from common.domain.tenancy.queue_policies import MAX_CONCURRENCY, MAX_KEY_CONCURRENCY


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class RateLimit(_Body):
    """Jobs that may start a second: a token bucket."""

    # Of a rate near the smallest number PostgreSQL cannot compute the tokens ("underflow").
    per_second: Annotated[float, Field(ge=0.000_001, le=1_000_000, allow_inf_nan=False)] = Field(
        description="The jobs that start a second in the long run.", examples=[50.0]
    )
    burst: Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)] = Field(
        description="The jobs that start at once after a while without any.", examples=[10.0]
    )


class QueueLimits(_Body):
    """The limits of a queue, and whether its jobs are in the feed. Null: no limit."""

    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = Field(
        None, description="The jobs that may run at once. Null: any number."
    )
    rate: RateLimit | None = Field(None, description="The jobs that may start a second. Null: any number.")
    key_concurrency: Annotated[int, Field(ge=1, le=MAX_KEY_CONCURRENCY)] | None = Field(
        None, description="The jobs of one `concurrency_key` that may run at once. Null: any number."
    )
    key_rate: RateLimit | None = Field(
        None, description="The jobs of one `concurrency_key` that may start a second. Null: any number."
    )
    events: bool = Field(False, description="True: GET /events has the changes of the queue's jobs.")

    def stored(self, names: Iterable[str]) -> dict[str, Any]:
        """Return members by name as the store has them: a rate as two numbers."""
        values = {name: getattr(self, name) for name in names}
        for name, burst in (("rate", "burst"), ("key_rate", "key_burst")):
            if name in values:
                rate = values[name]
                values |= {name: rate and rate.per_second, burst: rate and rate.burst}
        return values
