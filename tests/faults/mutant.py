"""A mutant: a copy of the product with one guard broken."""

from dataclasses import dataclass

RUN_S = 15


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken guard: `original`, which occurs once in the file, is replaced by `mutated`.

    Under `faults` one of `laws` must break.
    """

    name: str
    file: str
    original: str
    mutated: str
    faults: tuple[str, ...]
    laws: tuple[str, ...]
    seconds: int = RUN_S
