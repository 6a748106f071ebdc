"""Places for clients of one kind: a limit for all of them, and a share of it for one address."""

from enum import StrEnum


class Limit(StrEnum):
    """The limit that refuses a client."""

    PROCESS = "process"  #: all places of the process are taken
    ADDRESS = "address"  #: the client's address has its share of them


class Places:
    """Places that clients take and free."""

    def __init__(self, limit: int, percent_per_address: int) -> None:
        """`percent_per_address`: the part of the places that one address may take; it is at least one place."""
        self.limit = limit
        self.address_limit = max(1, limit * percent_per_address // 100)
        self.taken = 0
        self._by_address: dict[str, int] = {}

    def take(self, address: str | None) -> Limit | None:
        """Take a place; return the limit that refuses it, None if it is taken. `address` None: no share applies."""
        if self.taken >= self.limit:
            return Limit.PROCESS
        if address is not None:
            taken = self._by_address.get(address, 0)
            if taken >= self.address_limit:
                return Limit.ADDRESS
            self._by_address[address] = taken + 1
        self.taken += 1
        return None

    def free(self, address: str | None) -> None:
        """Free a place that was taken for this address."""
        self.taken -= 1
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
