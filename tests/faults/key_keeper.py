"""The thread that changes API keys while clients use them."""

import random
import threading

from faults.api_client import CLIENT_TIMEOUT_S, ApiClient
from faults.history import Answer, now_s
from faults.jobs import request_body
from faults.keys import key_id

OVERLAP_S = 3  # of a rotated key and its successor


class KeyKeeper:
    """A thread that rotates and revokes the keys of all tenants, and tries those that have ended."""

    def __init__(self, clients: list[ApiClient], chance: random.Random, pause_s: float = 0.25) -> None:
        """`clients`: one of each tenant, of this thread alone. `pause_s`: mean time between two changes."""
        self._clients = clients
        self._chance = chance
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keys")

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the change in progress."""
        self._stopping.set()
        self._thread.join(CLIENT_TIMEOUT_S * 2)
        assert not self._thread.is_alive(), "the keeper of the keys hangs"
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._chance.expovariate(1 / self._pause_s)):
            change = self._chance.choice([self._rotate, self._revoke, self._revoke_elsewhere, self._try, self._try])
            change(self._chance.choice(self._clients))

    def _rotate(self, client: ApiClient) -> None:
        """Rotate the key. If the answer is lost the old one may end: then store another one."""
        keys = client.tenant.keys
        rotated = key_id(keys.current)
        call = client.call("rotate", f"/keys/{rotated}/rotate", {"overlap_seconds": OVERLAP_S})
        life = keys.lives[rotated]
        if call.answer is Answer.OK:
            life.expires_after_s = call.began_s
            life.valid_until_s, life.ended_s = call.began_s + OVERLAP_S, call.ended_s + OVERLAP_S
            keys.adopt(client.secret)
        elif call.answer is Answer.UNKNOWN:
            life.valid_until_s = call.began_s
            keys.replace()

    def _revoke(self, client: ApiClient) -> None:
        """Store another key, and revoke the previous one by a request."""
        if token := client.tenant.keys.replace():
            life = client.tenant.keys.lives[key_id(token)]
            life.valid_until_s = min(life.valid_until_s, now_s())
            call = client.call("revoke", f"/keys/{key_id(token)}/revoke")
            if call.answer is Answer.OK:
                life.ended_s = call.ended_s

    def _revoke_elsewhere(self, client: ApiClient) -> None:
        """Store another key, and revoke the previous one in the database."""
        if token := client.tenant.keys.replace():
            client.tenant.keys.revoke(token)

    def _try(self, client: ApiClient) -> None:
        """Submit or read with a key that has ended."""
        if ended := client.tenant.keys.ended:
            token = self._chance.choice(ended)
            if self._chance.random() < 0.5:
                client.call("list", "/jobs?limit=5", token=token)
            else:
                sent = client.new_job()
                client.call("submit", "/jobs/", request_body(sent), (sent,), token=token)
