"""The first job of a run, printed as a client sees it."""

import json
import time

from tools.run.console import RunError
from tools.run.processes import Run

SAMPLE = {"data": [1, 2, 3], "operation": "square_sum"}
SUM_OF_SQUARES = 14.0
ENDED = ("SUCCESS", "FAILED")
LIMIT_S = 30


def run_first_job(run: Run) -> None:
    """Submit a job and print the responses up to its result. Raises RunError if the result is not 14."""
    body = json.dumps(SAMPLE, separators=(",", ":"))
    print(f"\n  POST {run.base}/jobs/ {body}")
    response = run.call("POST", "/jobs/", SAMPLE)
    print(f"  {json.dumps(response)}")
    path = f"/jobs/{response['job_id']}"
    until = time.monotonic() + LIMIT_S
    while (response := run.call("GET", f"{path}/status"))["status"] not in ENDED and time.monotonic() < until:
        run.check()
        time.sleep(0.02)
    print(f"  GET {path}/status\n  {json.dumps(response)}")
    response = run.call("GET", f"{path}/result")
    print(f"  GET {path}/result\n  {json.dumps(response)}", flush=True)
    if response["result"] != SUM_OF_SQUARES:
        raise RunError(f"the first job did not end with 14.0; see {run.logs}")
