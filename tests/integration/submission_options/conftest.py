"""The store on a database of the test's own."""

from integration.store.conftest import storage

__all__ = ["storage"]
