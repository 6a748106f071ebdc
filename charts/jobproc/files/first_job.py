"""`helm test`: a job goes in over HTTP, a worker runs it, its result comes back."""  # noqa: INP001 - a script of the chart

import json
import sys
import time
from urllib.request import Request, urlopen

EXPECTED = 14  # 1 + 4 + 9
LIMIT_S = 240  # a pool may be at zero: the scaler looks, a pod starts, then the job runs


def call(url: str, body: object = None) -> dict[str, object]:
    """Return the JSON that the API answers."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=10) as answer:  # noqa: S310 - http, the address is the chart's
        return dict(json.load(answer))


def main() -> None:
    """Run it."""
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
