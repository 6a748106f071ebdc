"""The tenants of a run. Random clients act for three, one of which floods; a quiet one wants one job at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rig.system import Database
from rig.tenants import new_tenant

from common.domain.tenancy.tenants import DEFAULT_TENANT
from faults.accepted import AcceptedJobs
from faults.keys import KeyRing

RANDOM = 3  # tenants of random clients; the last one floods


@dataclass(frozen=True, slots=True)
class TenantOfRun:
    """A tenant with its keys, and what it has."""

    number: int
    keys: KeyRing
    jobs: AcceptedJobs = field(default_factory=AcceptedJobs)


@dataclass(frozen=True, slots=True)
class Tenants:
    """All tenants of a run: the default one, and others that are created for it."""

    all: Sequence[TenantOfRun]

    @classmethod
    def create(cls, database: Database, database_url: str) -> "Tenants":
        """Store the tenants and a key of each."""
        numbers = [DEFAULT_TENANT, *(new_tenant(database, name) for name in ("second", "flooding", "limited", "quiet"))]
        return cls([TenantOfRun(number, KeyRing(number, database_url)) for number in numbers])

    def of_client(self, number: int) -> TenantOfRun:
        """Return the tenant of a random client; numbers begin at 1."""
        return self.all[(number - 1) % RANDOM]

    @property
    def flooding(self) -> TenantOfRun:
        """The tenant that floods."""
        return self.all[RANDOM - 1]

    @property
    def limited(self) -> TenantOfRun:
        """The tenant whose jobs have limits."""
        return self.all[RANDOM]

    @property
    def quiet(self) -> TenantOfRun:
        """The tenant that wants one job at a time."""
        return self.all[-1]

    def others(self, tenant: TenantOfRun) -> Iterator[TenantOfRun]:
        """Yield the other tenants."""
        return (other for other in self.all if other is not tenant)

    def close(self) -> None:
        """Close the connections."""
        for tenant in self.all:
            tenant.keys.close()
