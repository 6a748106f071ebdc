"""`helm test`: submit a job over HTTP, let a worker run it, read its result."""  # noqa: INP001 - a script of the chart

import json
import os
import ssl
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

EXPECTED = 14  # 1 + 4 + 9
LIMIT_S = 240  # a pool may have zero pods: the scaler polls, a pod starts, then the job runs


def tls() -> ssl.SSLContext:
    """Return what checks the certificate of the API: by the authority of its Secret, or by those of the system."""
    file = Path(os.environ.get("JOBPROC_API_CA_FILE", "none"))
    return ssl.create_default_context(cafile=str(file) if file.is_file() and file.stat().st_size else None)


def call(url: str, body: object = None) -> dict[str, object]:
    """Send a request, a POST if it has a body; return the JSON of the response."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("JOBPROC_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(url, data, headers)  # noqa: S310 - http or https, the chart sets the URL
    with urlopen(request, timeout=10, context=tls()) as response:  # noqa: S310 - as above
        return dict(json.load(response))


def main() -> None:
    """Run the test; exit with a message if it fails."""
    url = sys.argv[1]
    job = call(f"{url}/jobs/", {"data": [1, 2, 3], "operation": "square_sum"})["job_id"]
    deadline = time.monotonic() + LIMIT_S
    while (seen := call(f"{url}/jobs/{job}/result"))["status"] not in {"SUCCESS", "FAILED", "CANCELLED"}:
        if time.monotonic() > deadline:
            sys.exit(f"job {job} is still {seen['status']} after {LIMIT_S} s")
        time.sleep(1)
    if seen["result"] != EXPECTED:
        sys.exit(f"job {job} ended as {seen}, {EXPECTED} was expected")
    print(f"job {job}: {seen['status']}, result {seen['result']}")


main()
