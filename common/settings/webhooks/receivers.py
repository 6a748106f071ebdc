"""Settings of receivers: their URLs and networks, and the key of their secrets."""

from typing import Annotated

from pydantic import Field, field_validator

from common.domain.webhooks.networks import Network, parsed_networks
from common.domain.webhooks.target_url import UrlRules
from common.secret_encryption import parsed_keys
from common.settings.field_types import Secret, SettingsGroup


class WebhookReceiverSettings(SettingsGroup):
    """Webhooks: where to they may be sent, and the key of the secrets with which they are signed."""

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
    webhook_rotation_overlap_seconds: Annotated[float, Field(ge=0, le=2_592_000)] = Field(
        86_400,
        description="API: time in seconds for which messages are signed with the old secret of an endpoint too, after "
        "a rotation that does not say how long.",
    )

    @field_validator("webhook_encryption_key")
    @classmethod
    def _check_webhook_keys(cls, value: str) -> str:
        parsed_keys(value)
        return value

    @field_validator("webhook_private_networks")
    @classmethod
    def _check_webhook_networks(cls, value: str) -> str:
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


def _names(text: str) -> list[str]:
    return [name.strip().lower() for name in text.split(",") if name.strip()]
