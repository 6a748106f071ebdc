"""The guards that `make mutants` breaks exist in the product, and docs/faults.md names every fault and every law."""

import re
from pathlib import Path

import faults.run  # noqa: F401 - registers all faults
import pytest
from faults.fault import FAULTS
from faults.laws import LAWS
from faults.mutant import Mutant
from faults.mutants import MUTANTS, ROOT, broken

PAGE = (ROOT / "docs" / "faults.md").read_text()
NAMES = {law.__name__.replace("_", " ") for law in LAWS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_guard_is_found_and_can_be_broken(mutant: Mutant) -> None:
    compile(broken(mutant), mutant.file, "exec")
    assert set(mutant.faults) <= set(FAULTS)
    assert set(mutant.laws) <= NAMES


def test_the_page_names_every_fault_and_every_law() -> None:
    laws, faults_table = PAGE.partition("## The laws")[2].split("## The faults")
    assert set(re.findall(r"^\| ([a-z ]+) \| ", laws, re.MULTILINE)) - {"law"} == NAMES
    assert set(re.findall(r"`([a-z_]+)`", faults_table)) - {"synchronous_commit"} == set(FAULTS)
    for file in re.findall(r"tests/[a-z_/.]+", faults_table):
        assert Path(ROOT / file).exists(), file
