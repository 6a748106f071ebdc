"""Settings of deliveries: attempts, circuits, waits."""

from typing import Annotated

from pydantic import Field

from common.domain.webhooks.circuit import CircuitPolicy
from common.settings.field_types import Count, Seconds, SettingsGroup


class WebhookDeliverySettings(SettingsGroup):
    """Webhooks: the attempts of deliveries and the circuits of endpoints."""

    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=250)] = Field(
        15,
        description="Worker: longest duration in seconds of one attempt to deliver an event, from the look-up of the "
        "name to the end of the response.",
    )
    webhook_max_attempts: Annotated[int, Field(ge=1, le=1_000)] = Field(
        21,
        description="API: attempts of a delivery of an endpoint that does not say how many. With the backoff of "
        "deliveries, 10 seconds doubled up to 3 hours, 21 take about a day.",
    )
    webhook_max_response_bytes: Annotated[int, Field(ge=0, le=1_048_576)] = Field(
        16_384, description="Worker: bytes of a response that are read; then its connection is closed."
    )
    webhook_response_characters: Annotated[int, Field(ge=0, le=4_000)] = Field(
        200, description="Worker: characters of a response that are stored with a failed attempt. 0: none."
    )
    webhook_max_body_bytes: Count = Field(
        262_144,
        description="Worker: largest body of an event in bytes; the result of a job is left out of a larger one.",
    )
    webhook_endpoint_concurrency: Annotated[int, Field(ge=1, le=1_000)] = Field(
        5,
        description="Worker: largest number of deliveries to one endpoint that one process makes at a time; further "
        "ones wait, so that a slow receiver holds up no other.",
    )
    webhook_max_wait_seconds: Seconds = Field(
        60,
        description="Worker: longest time in seconds after which a delivery that found no place at its endpoint tries "
        "again.",
    )
    webhook_circuit_failures: Annotated[int, Field(ge=1, le=1_000)] = Field(
        5,
        description="Worker: failed attempts in a row of all deliveries of an endpoint after which its circuit opens.",
    )
    webhook_circuit_open_seconds: Seconds = Field(
        30,
        description="Worker: time in seconds for which a circuit opens first; then one delivery tries, and each "
        "further failure doubles it.",
    )
    webhook_circuit_max_open_seconds: Seconds = Field(
        900, description="Worker: longest time in seconds for which a circuit opens."
    )
    webhook_disable_after_seconds: Annotated[float, Field(gt=0, le=86_400 * 365)] = Field(
        432_000,
        description="Worker: time in seconds without a success after which an endpoint that fails is disabled. "
        "Default: five days.",
    )
    webhook_give_up_seconds: Annotated[float, Field(gt=0, le=86_400 * 365)] = Field(
        86_400,
        description="Worker: age in seconds of an event after which its delivery waits no longer for the circuit of "
        "its endpoint, and ends FAILED. Default: a day.",
    )

    @property
    def webhook_circuit(self) -> CircuitPolicy:
        """When the circuit of an endpoint opens."""
        return CircuitPolicy(
            self.webhook_circuit_failures, self.webhook_circuit_open_seconds, self.webhook_circuit_max_open_seconds
        )
