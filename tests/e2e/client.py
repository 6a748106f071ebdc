"""A client inside of the cluster: submits jobs through the Service until it is told to stop, waits for every accepted one, says what it saw.

Runs in a pod of the API's image (standard library only). The first line on its output says that jobs are being accepted, the last one is
the report as JSON. Half of the threads keep their connection, half make one for each request: both kinds meet a pod that goes away.
"""

import http.client
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

STOP = Path("/tmp/stop")
THREADS = 8
LIMIT_S = 30.0  # of one request
LONGEST_S = 600.0  # of the whole: submissions end by themselves
TERMINAL = {"SUCCESS", "FAILED", "CANCELLED"}


class Client:
    """One thread's way to the API."""

    def __init__(self, address: str, *, keeps: bool) -> None:
        self._address = address
        self._keeps = keeps
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON. Raises OSError and HTTPException as they come: nothing is tried again."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=LIMIT_S)
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            read = answer.read()
            if not self._keeps or answer.will_close:
                self.close()
            return answer.status, json.loads(read)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Load:
    """What all threads saw."""

    def __init__(self, address: str, rate: float) -> None:
        self._address = address
        self._every_s = THREADS / rate
        self._lock = threading.Lock()
        self._sent = 0
        self._accepted: dict[str, float] = {}
        self._answers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._slowest_s = 0.0
        self._end = time.monotonic() + LONGEST_S

    def submit(self, number: int) -> None:
        """Submit at the rate until told to stop."""
        client = Client(self._address, keeps=number % 2 == 0)
        due = time.monotonic() + random.random() * self._every_s
        while not STOP.exists() and time.monotonic() < self._end:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._every_s, time.monotonic() - 1)
            with self._lock:
                self._sent += 1
                value = float(self._sent)
            began = time.monotonic()
            try:
                status, answer = client.call("POST", "/jobs/", {"data": [value], "operation": "square_sum"})
                seen, example = str(status), json.dumps(answer)
            except (OSError, http.client.HTTPException) as error:
                seen, answer, example = type(error).__name__, {}, str(error)
            with self._lock:
                self._answers[seen] += 1
                self._examples.setdefault(f"{seen} {'kept' if number % 2 == 0 else 'own'}", f"{time.strftime('%H:%M:%S')} {example}")
                self._slowest_s = max(self._slowest_s, time.monotonic() - began)
                if seen == "202":
                    if not self._accepted:
                        print("accepting", flush=True)
                    self._accepted[answer["job_id"]] = value

    def wait(self, seconds: float) -> tuple[dict[str, Any], list[str]]:
        """Return how the jobs ended by id, and those that have not in so many seconds."""
        client = Client(self._address, keeps=True)
        ended: dict[str, Any] = {}
        left = list(self._accepted)
        until = time.monotonic() + seconds
        while left and time.monotonic() < until:
            still = []
            for job in left:
                try:
                    status, answer = client.call("GET", f"/jobs/{job}/result")
                except (OSError, http.client.HTTPException):
                    status, answer = 0, {}
                if status == 404:
                    ended[job] = "not found"
                elif status == 200 and answer["status"] in TERMINAL:
                    ended[job] = answer["result"] if answer["status"] == "SUCCESS" else answer
                else:
                    still.append(job)
            left = still
            time.sleep(0.5)
        return ended, left

    def run(self, wait_s: float) -> dict[str, Any]:
        """Do all of it and return the report."""
        threads = [threading.Thread(target=self.submit, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended, left = self.wait(wait_s)
        right = {job: value**2 for job, value in self._accepted.items()}
        return {
            "answers": dict(self._answers),
            "examples": self._examples,
            "accepted": len(self._accepted),
            "right": sum(ended.get(job) == value for job, value in right.items()),
            "wrong": {job: ended[job] for job, value in right.items() if job in ended and ended[job] != value},
            "unfinished": left,
            "slowest_s": round(self._slowest_s, 3),
        }


def resolved(address: str) -> str:
    """Return the address of a Service by its number, which stays; how the cluster's names do under load is not what is tried."""
    host, _, port = address.partition(":")
    for _ in range(60):
        try:
            return f"{socket.gethostbyname(host)}:{port}"
        except socket.gaierror:
            time.sleep(0.5)
    raise SystemExit(f"no address of {host}")


def main() -> None:
    """`client.py ADDRESS RATE WAIT_SECONDS`."""
    address, rate, wait_s = sys.argv[1:]
    print(json.dumps(Load(resolved(address), float(rate)).run(float(wait_s))), flush=True)


main()
