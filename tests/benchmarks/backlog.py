"""Submit a backlog through POST /jobs/batch: `python -m tests.benchmarks.backlog PORT JOBS`."""

import http.client
import json
import os

from common.command_line import command_line
from tests.benchmarks.measure import API_KEY, authorization

STEP = 10_000
SAMPLE = {"data": [1, 2, 3], "operation": "square_sum"}


def load(port: int, jobs: int) -> None:
    """Submit `jobs` jobs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", **authorization(os.environ.get(API_KEY))}
    for at in range(0, jobs, STEP):
        body = json.dumps([SAMPLE] * min(STEP, jobs - at), separators=(",", ":"))
        connection.request("POST", "/jobs/batch", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(text.decode())


def main() -> None:
    """Submit the backlog that the arguments describe."""
    parser = command_line("tests.benchmarks.backlog", __doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("jobs", type=int)
    arguments = parser.parse_args()
    load(arguments.port, arguments.jobs)


if __name__ == "__main__":
    main()
