"""Compare the packages of the images with the published advisories, by pip-audit.

Prints *not checked* with the reason, and succeeds, where the index has no advisories or does not answer in time.
"""

import json
import subprocess
import sys
from typing import Any

from common.command_line import command_line
from tools import ROOT

LOCKS = ("api/requirements.lock", "worker/requirements.lock")
LIMIT_S = 40  # pip-audit sends one request a package, and keeps the answers in its cache
NOT_CHECKED = "not checked"
#: Advisories that do not concern jobproc: id → reason.
ACCEPTED: dict[str, str] = {}


def verdict(report: dict[str, Any]) -> tuple[str, bool]:
    """Return a text and True unless a package of pip-audit's report has an advisory that is not accepted."""
    packages = report["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
        if ACCEPTED.keys().isdisjoint({vulnerability["id"], *vulnerability.get("aliases", ())})
    ]
    if found:
        return "\n".join(found), False
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped:
        return f"{NOT_CHECKED}: {len(skipped)} of {len(packages)} packages; {skipped[0]['skip_reason']}", True
    return f"{len(packages)} packages have no known vulnerability", True


def audit() -> tuple[str, bool]:
    """Run pip-audit on the lock files of the images. Return a text and True unless an advisory was found."""
    argv = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    argv += ["--format", "json", *(part for lock in LOCKS for part in ("-r", lock))]
    try:
        result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{NOT_CHECKED}: the index of packages did not answer within {LIMIT_S} s", True
    try:
        return verdict(json.loads(result.stdout))
    except ValueError:  # pip-audit ended before its report: it reached no index
        return f"{NOT_CHECKED}: {(result.stderr.strip().splitlines() or ['pip-audit printed nothing'])[-1]}", True


def main() -> int:
    """Print the result. Return the exit code."""
    command_line("tools.advisories", __doc__).parse_args()
    text, passed = audit()
    print(text)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
