"""The operations that a worker of this environment would run, asked of a fresh process."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.run.console import RunError

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60  # an import that takes longer would stop the worker's start as well


@dataclass(frozen=True)
class KnownOperations:
    """Names of operations and of the queues that they name."""

    names: Sequence[str]
    queues: Sequence[str]


def known_operations(env: Mapping[str, str]) -> KnownOperations:
    """Import the operations in a fresh process. Raises RunError with the traceback and the reason."""
    argv = [sys.executable, "-m", "worker", "--check"]
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"the import of the operations has not ended within {LIMIT_S} s") from error
    if done.returncode:
        raise RunError(done.stderr.strip())
    found = json.loads(done.stdout.splitlines()[-1])
    queues = sorted({"default", *found["queues"]})
    return KnownOperations(sorted(each["name"] for each in found["operations"]), queues)
