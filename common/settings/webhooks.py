"""Settings of webhooks."""

from typing import Annotated

from pydantic import Field, field_validator

from common.domain.webhooks.circuit import CircuitPolicy
from common.domain.webhooks.networks import Network, parsed_networks
from common.domain.webhooks.target_url import UrlRules
from common.secret_encryption import parsed_keys
from common.settings.field_types import Count, Seconds, Secret, SettingsGroup


class WebhookSettings(SettingsGroup):
    """Webhooks: where to they may be sent, their limits, their circuits, the key of their secrets."""

    webhook_encryption_key: Secret = Field(
        "",
        description="API and worker: key with which the secrets of endpoints are encrypted in the database, 32 "
        "characters or more. To change it, put the new key first and the old one after a comma, until the secrets of "
        "all endpoints have been rotated. Empty: webhooks are off.",
    )
    default_max_webhooks: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        100,
        description="API: largest number of endpoints of webhooks of a tenant that has no quota of its own. 0: no "
        "limit.",
    )
    webhook_schemes: Annotated[str, Field(pattern="^(https|http|https,http)$")] = Field(
        "https", description="API and worker: schemes of the URLs of endpoints: `https`, `http` or `https,http`."
    )
    webhook_ports: Annotated[str, Field(pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*$")] = Field(
        "443", description="API and worker: ports that the URLs of endpoints may have, separated by commas."
    )
    webhook_hosts: str = Field(
        "*",
        description="API and worker: names of hosts that the URLs of endpoints may have, separated by commas; "
        "`*.example.com` stands for all names below it. `*`: any.",
    )
    webhook_private_hosts: str = Field(
        "",
        description="API and worker: names of hosts, in the form of JOBPROC_WEBHOOK_HOSTS, that may have addresses of "
        "private networks. Empty: none.",
    )
    webhook_private_networks: str = Field(
        "",
        description="Worker: networks to which webhooks may be sent although they are private or special, separated by "
        "commas, such as `10.20.0.0/16`. Empty: none.",
    )
    webhook_ca_file: str = Field(
        "",
        description="Worker: file with certificates (PEM) of further authorities that may certify receivers. Empty: "
        "those of the system.",
    )
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
    webhook_secret_overlap_seconds: Annotated[float, Field(ge=0, le=2_592_000)] = Field(
        86_400,
        description="API: time in seconds for which messages are signed with the old secret of an endpoint too, after "
        "a rotation that does not say how long.",
    )

    @field_validator("webhook_encryption_key")
    @classmethod
    def _check_keys(cls, value: str) -> str:
        parsed_keys(value)
        return value.strip()

    @field_validator("webhook_private_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        parsed_networks(value)
        return value

    @property
    def webhook_keys(self) -> list[str]:
        """The keys of stored secrets, the newest first. Empty: webhooks are off."""
        return parsed_keys(self.webhook_encryption_key)

    @property
    def webhook_url_rules(self) -> UrlRules:
        """The URLs that endpoints may have."""
        return UrlRules(
            self.webhook_schemes.split(","),
            [int(port) for port in self.webhook_ports.split(",")],
            _names(self.webhook_hosts),
            _names(self.webhook_private_hosts),
        )

    @property
    def webhook_networks(self) -> list[Network]:
        """Special networks to which webhooks may be sent."""
        return parsed_networks(self.webhook_private_networks)

    @property
    def webhook_circuit(self) -> CircuitPolicy:
        """When the circuit of an endpoint opens."""
        return CircuitPolicy(
            self.webhook_circuit_failures, self.webhook_circuit_open_seconds, self.webhook_circuit_max_open_seconds
        )


def _names(text: str) -> list[str]:
    return [name.strip().lower() for name in text.split(",") if name.strip()]
