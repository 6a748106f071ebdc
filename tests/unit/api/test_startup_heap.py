"""The heap that a starting API process freezes."""

import json
import subprocess
import sys

#: Prints how many models of routes the collector scans after a request was routed, and its threshold.
SCRIPT = """
import gc, json
from pydantic.fields import FieldInfo
from api.app import create_app, freeze_startup_heap
from common.settings import Settings

app = create_app(Settings())
freeze_startup_heap(app)
request = {"type": "http", "method": "POST", "path": "/jobs/", "root_path": "", "headers": [], "app": app}
for route in app.router.routes:
    route.matches(request)
print(json.dumps([sum(isinstance(thing, FieldInfo) for thing in gc.get_objects()), gc.get_threshold()[0]]))
"""


def test_requests_leave_nothing_to_the_garbage_collector() -> None:
    """No request builds routes, which would be scanned for ever, and few requests in progress are scanned."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    scanned_fields, young_objects = json.loads(done.stdout)
    assert scanned_fields == 0
    assert young_objects >= 10_000
