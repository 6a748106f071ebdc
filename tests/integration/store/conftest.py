"""Fixtures: the store on the database of the test."""

from collections.abc import Iterator

import pytest
from integration.store.support.bulk_actions import ActionDriver
from integration.store.support.clients import Client
from integration.store.support.past_jobs import RETENTION_DAYS, PastDay
from integration.store.support.plan_database import PlanDatabase, plan_database_in
from integration.store.support.sessions import Loop
from integration.store.support.storage import Storage, old_period

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    """The store, on the database of this test."""
    storage = Storage(settings)
    yield storage
    storage.close()


@pytest.fixture
def past(storage: Storage) -> PastDay:
    """A day whose jobs are past retention."""
    return PastDay(storage, old_period(storage, RETENTION_DAYS + 3), storage.claimer())


@pytest.fixture
def connection(storage: Storage) -> WorkerConnection:
    """A connection as worker processes have."""
    return storage.connection()


@pytest.fixture
def clients(storage: Storage) -> Iterator[tuple[Client, Client]]:
    loop = Loop()
    clients = Client(storage, loop), Client(storage, loop)
    yield clients
    for client in clients:
        client.close()
    loop.close()


@pytest.fixture
def client(clients: tuple[Client, Client]) -> Client:
    return clients[0]


@pytest.fixture
def actions(storage: Storage) -> ActionDriver:
    """Bulk actions, on the database of this test."""
    return ActionDriver(storage)


@pytest.fixture
def plan_database(request: pytest.FixtureRequest, storage: Storage) -> PlanDatabase:
    """A database in the state that the test's parameter names."""
    return plan_database_in(request.param, storage)
