"""The guards that `make mutants` breaks are there."""

import pytest
from faults import of_processes, of_resources, of_servers  # noqa: F401 - the faults register themselves
from faults.fault import FAULTS
from faults.laws import LAWS
from faults.mutants import MUTANTS, Mutant, broken


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_guard_is_found_and_can_be_broken(mutant: Mutant) -> None:
    compile(broken(mutant), mutant.file, "exec")
    assert set(mutant.faults) <= set(FAULTS)
    assert set(mutant.laws) <= {law.__name__.replace("_", " ") for law in LAWS}
