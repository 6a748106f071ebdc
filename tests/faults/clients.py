"""Clients: threads that call the API, each with its own seed."""

import threading

from faults.api_client import CLIENT_TIMEOUT_S, ApiClient
from faults.client_actions import ACTIONS, Action


def act(client: ApiClient) -> None:
    """Do anything that a client does."""
    names = [name for name, (weight, _) in ACTIONS.items() for _ in range(weight)]
    ACTIONS[client.chance.choice(names)][1](client)


class Client:
    """One client thread, which repeats an action. `pause_s`: mean time between two."""

    def __init__(self, api: ApiClient, pause_s: float, action: Action = act) -> None:
        self._api = api
        self._pause_s = pause_s
        self._action = action
        self._thread = threading.Thread(target=self._run, name=f"client-{api.number}")

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
        while not self._api.stopping.wait(self._api.chance.expovariate(1 / self._pause_s)):
            self._action(self._api)
