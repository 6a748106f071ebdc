"""The store on a database of the test's own."""

from collections.abc import Iterator

import pytest
from integration.store.clients import Client
from integration.store.sessions import Loop
from integration.store.storage import Storage

from common.settings import Settings


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    """The store, on this test's database."""
    made = Storage(settings)
    yield made
    made.close()


@pytest.fixture
def clients(storage: Storage) -> Iterator[tuple[Client, Client]]:
    loop = Loop()
    made = Client(storage, loop), Client(storage, loop)
    yield made
    for client in made:
        client.close()
    loop.close()


@pytest.fixture
def client(clients: tuple[Client, Client]) -> Client:
    return clients[0]
