"""The fixture of the store, on the database of a single test."""

from integration.store.conftest import storage

__all__ = ["storage"]
