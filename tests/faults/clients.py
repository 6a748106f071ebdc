"""Clients: threads that call the API, each with its own seed."""

import random
import threading

from faults.api_client import CLIENT_TIMEOUT_S, AcceptedJobs, ApiClient
from faults.client_actions import ACTIONS
from faults.history import History


class Client:
    """One client thread. `pause_s`: mean time between two calls."""

    def __init__(self, number: int, url: str, history: History, jobs: AcceptedJobs, seed: int, pause_s: float) -> None:
        self._api = ApiClient(number, url, history, jobs, random.Random(f"{seed}-{number}"))
        self._pause_s = pause_s
        self._thread = threading.Thread(target=self._run, name=f"client-{number}")

    def start(self) -> None:
        """Start calling."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the call in progress."""
        self._api.stopping.set()
        self._thread.join(CLIENT_TIMEOUT_S * 2)
        assert not self._thread.is_alive(), "a client hangs"
        self._api.close()

    def _run(self) -> None:
        names = [name for name, (weight, _) in ACTIONS.items() for _ in range(weight)]
        chance = self._api.chance
        while not self._api.stopping.wait(chance.expovariate(1 / self._pause_s)):
            ACTIONS[chance.choice(names)][1](self._api)
