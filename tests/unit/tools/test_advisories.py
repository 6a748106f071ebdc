"""The reading of pip-audit's report."""

from tools.advisories import verdict


def _package(name: str, *advisories: str, **more: object) -> dict[str, object]:
    vulns = [{"id": advisory, "aliases": [], "fix_versions": ["2.0"]} for advisory in advisories]
    return {"name": name, "version": "1.0", "vulns": vulns, **more}


def test_a_vulnerable_package_fails_with_its_advisory_and_the_fixed_version() -> None:
    text, passed = verdict({"dependencies": [_package("sound"), _package("bad", "PYSEC-1")]})
    assert not passed
    assert text == "bad 1.0: PYSEC-1, fixed in 2.0"


def test_a_package_without_advisories_to_compare_with_is_reported_as_not_checked() -> None:
    skipped = {"name": "unknown", "skip_reason": "not found"}
    assert verdict({"dependencies": [_package("sound"), skipped]}) == ("not checked: 1 of 2 packages; not found", True)


def test_a_vulnerability_fails_even_if_other_packages_were_skipped() -> None:
    skipped = {"name": "unknown", "skip_reason": "not found"}
    assert verdict({"dependencies": [skipped, _package("bad", "PYSEC-1")]})[1] is False


def test_sound_packages_pass() -> None:
    assert verdict({"dependencies": [_package("sound")]}) == ("1 packages have no known vulnerability", True)
