"""Variables that are removed from a process are nowhere in its environment, nor in that of its forks and programs."""

import json
import subprocess
import sys

PROGRAM = """
import json, os, pathlib, subprocess
from common import process_environment
process_environment.remove({"DATABASE_URL", "JOBPROC_CURSOR_KEY", "ABSENT"})
child, parent = os.pipe()
if not os.fork():
    block = pathlib.Path("/proc/self/environ").read_text() + pathlib.Path(f"/proc/{os.getppid()}/environ").read_text()
    os.write(parent, json.dumps([block, dict(os.environ), subprocess.check_output(["env"], text=True)]).encode())
    os._exit(0)
os.wait()
print(os.read(child, 65536).decode())
"""


def test_removed_variables_are_in_no_environment_of_the_process_and_the_others_stay() -> None:
    env = {
        "DATABASE_URL": "postgresql://u:canary@h/db",
        "jobproc_cursor_key": "canary",
        "PATH": "/usr/bin:/bin",
        "OWN": "kept=é",
        "PYTHONPATH": ":".join(sys.path),
    }
    output = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True).stdout
    assert "canary" not in output
    block, environ, inherited = json.loads(output)
    assert environ["OWN"] == "kept=é"
    assert {"DATABASE_URL", "jobproc_cursor_key"}.isdisjoint(environ)
    assert block.count("OWN=kept=é") == 2
    assert "OWN=kept=é" in inherited
