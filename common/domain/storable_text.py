"""Texts of operations and errors, as they can be stored."""


def storable(text: str) -> str:
    """Return a text of the same length without the characters that PostgreSQL and JSON cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "�")
