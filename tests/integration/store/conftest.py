"""The store on a database of the test's own."""

from collections.abc import Iterator

import pytest
from integration.store.storage import Storage

from common.settings import Settings


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    """The store, on this test's database."""
    made = Storage(settings)
    yield made
    made.close()
