"""Submit a backlog through POST /jobs/batch: `python -m tests.benchmarks.backlog PORT JOBS`."""

import http.client
import json
import sys

STEP = 10_000
SAMPLE = {"data": [1, 2, 3], "operation": "square_sum"}


def load(port: int, jobs: int) -> None:
    """Submit `jobs` jobs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for at in range(0, jobs, STEP):
        body = json.dumps([SAMPLE] * min(STEP, jobs - at), separators=(",", ":"))
        connection.request("POST", "/jobs/batch", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(text.decode())


if __name__ == "__main__":
    load(int(sys.argv[1]), int(sys.argv[2]))
