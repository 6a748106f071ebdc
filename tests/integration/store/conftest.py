"""The store on a database of the test's own."""

from collections.abc import Iterator

import pytest
from integration.store.support.bulk_actions import Acting
from integration.store.support.clients import Client
from integration.store.support.past_jobs import DAYS, Past
from integration.store.support.sessions import Loop
from integration.store.support.storage import Storage, old_period

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    """The store, on this test's database."""
    made = Storage(settings)
    yield made
    made.close()


@pytest.fixture
def past(storage: Storage) -> Past:
    """A day past retention, on this test's database."""
    return Past(storage, old_period(storage, DAYS + 3), storage.claimer())


@pytest.fixture
def connection(storage: Storage) -> WorkerConnection:
    """A connection such as the controller has."""
    return storage.connection()


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


@pytest.fixture
def acting(storage: Storage) -> Acting:
    """Actions, on this test's database."""
    return Acting(storage)
