"""A client in the cluster: submits jobs through the Service until stopped, waits for them, and reports the outcome.

Runs in a pod of the API's image (standard library only). It prints `accepting` after the first accepted job, and its
report as JSON on the last line. Half of the threads keep their connection, half open one for each request, so both
kinds of client meet a pod that ends.
"""

import http.client
import json
import os
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
LIMIT_S = 30.0  # timeout of a request
LONGEST_S = 600.0  # submissions end after this time even without a stop
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['JOBPROC_API_KEY']}"}
TERMINAL = {"SUCCESS", "FAILED", "CANCELLED"}


class Client:
    """The HTTP client of one thread."""

    def __init__(self, address: str, *, keep_alive: bool) -> None:
        self._address = address
        self._keep_alive = keep_alive
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON. Raises OSError and HTTPException: no request is retried."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=LIMIT_S)
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), HEADERS)
            response = self._connection.getresponse()
            content = response.read()
            if not self._keep_alive or response.will_close:
                self.close()
            return response.status, json.loads(content)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Load:
    """The load of all threads, and their results."""

    def __init__(self, address: str, rate: float) -> None:
        self._address = address
        self._interval_s = THREADS / rate
        self._lock = threading.Lock()
        self._sent = 0
        self._accepted: dict[str, float] = {}
        self._answers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._slowest_s = 0.0
        self._end = time.monotonic() + LONGEST_S

    def submit(self, number: int) -> None:
        """Submit at the rate until the stop file exists; `number` is the thread's."""
        client = Client(self._address, keep_alive=number % 2 == 0)
        due = time.monotonic() + random.random() * self._interval_s
        while not STOP.exists() and time.monotonic() < self._end:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._interval_s, time.monotonic() - 1)
            with self._lock:
                self._sent += 1
                value = float(self._sent)
            began = time.monotonic()
            try:
                status, answer = client.call("POST", "/jobs/", {"data": [value], "operation": "square_sum"})
                outcome, example = str(status), json.dumps(answer)
            except (OSError, http.client.HTTPException) as error:
                outcome, answer, example = type(error).__name__, {}, str(error)
            with self._lock:
                self._answers[outcome] += 1
                self._examples.setdefault(
                    f"{outcome} {'kept' if number % 2 == 0 else 'own'}", f"{time.strftime('%H:%M:%S')} {example}"
                )
                self._slowest_s = max(self._slowest_s, time.monotonic() - began)
                if outcome == "202":
                    if not self._accepted:
                        print("accepting", flush=True)
                    self._accepted[answer["job_id"]] = value

    def wait(self, seconds: float) -> tuple[dict[str, Any], list[str]]:
        """Return the results of the finished jobs by id, and the jobs that have not finished after `seconds`."""
        client = Client(self._address, keep_alive=True)
        finished: dict[str, Any] = {}
        unfinished = list(self._accepted)
        end = time.monotonic() + seconds
        while unfinished and time.monotonic() < end:
            still_unfinished = []
            for job in unfinished:
                try:
                    status, answer = client.call("GET", f"/jobs/{job}/result")
                except (OSError, http.client.HTTPException):
                    status, answer = 0, {}
                if status == 404:
                    finished[job] = "not found"
                elif status == 200 and answer["status"] in TERMINAL:
                    finished[job] = answer["result"] if answer["status"] == "SUCCESS" else answer
                else:
                    still_unfinished.append(job)
            unfinished = still_unfinished
            time.sleep(0.5)
        return finished, unfinished

    def run(self, wait_s: float) -> dict[str, Any]:
        """Submit from all threads, wait up to `wait_s` for the jobs, and return the report."""
        threads = [threading.Thread(target=self.submit, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        finished, unfinished = self.wait(wait_s)
        expected = {job: value**2 for job, value in self._accepted.items()}
        return {
            "answers": dict(self._answers),
            "examples": self._examples,
            "accepted": len(self._accepted),
            "right": sum(finished.get(job) == value for job, value in expected.items()),
            "wrong": {
                job: finished[job] for job, value in expected.items() if job in finished and finished[job] != value
            },
            "unfinished": unfinished,
            "slowest_s": round(self._slowest_s, 3),
        }


def resolved(address: str) -> str:
    """Resolve the Service's name once: its IP is stable, and the cluster's DNS under load is not under test."""
    host, _, port = address.partition(":")
    for _ in range(60):
        try:
            return f"{socket.gethostbyname(host)}:{port}"
        except socket.gaierror:
            time.sleep(0.5)
    raise SystemExit(f"{host} cannot be resolved")


def main() -> None:
    """Run `client.py ADDRESS RATE WAIT_SECONDS`."""
    address, rate, wait_s = sys.argv[1:]
    print(json.dumps(Load(resolved(address), float(rate)).run(float(wait_s))), flush=True)


main()
