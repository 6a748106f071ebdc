"""One attempt to deliver an event: the checks of its endpoint, the message, its answer, and the circuit."""

import base64
import random
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from common import secret_encryption
from common.domain.decisions import AttemptOutcome, Failure
from common.domain.job import ClaimedJob
from common.domain.webhooks import signature
from common.domain.webhooks.circuit import postponement_s
from common.domain.webhooks.events import DisabledReason
from common.secret_encryption import SecretUnreadable
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.store.webhooks import attempts
from common.store.webhooks.attempts import EndpointForDelivery
from common.telemetry import logs
from worker.execution.attempt import AttemptFailed
from worker.webhooks.endpoints import Endpoints
from worker.webhooks.http_client import HttpClient, Response, TargetRefused
from worker.webhooks.stored_delivery import StoredDelivery

log = logs.get("worker")
GONE = 410
SUCCESSES = range(200, 300)
DATABASE_PAUSE_S = 2.0
BASE_WAIT_S = 1.0  # of a delivery that found no place at its endpoint; doubled each time
MAX_COUNTED_FAILURES = 32  # after so many in a row the circuit opens for the longest time


class Deliveries:
    """Delivers events. To be made and used in one event loop."""

    def __init__(
        self,
        settings: Settings,
        client: HttpClient | None = None,
        unix_s: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`unix_s`: Unix seconds; `jitter`: uniform in [0, 1)."""
        self._settings = settings
        self._client = client or HttpClient(settings)
        self._endpoints = Endpoints(settings)
        self._unix_s = unix_s
        self._jitter = jitter
        circuit = settings.webhook_circuit
        seconds = [circuit.open_seconds(failures) for failures in range(MAX_COUNTED_FAILURES)]
        self._open_seconds = [-1.0 if open_s is None else open_s for open_s in seconds]

    async def deliver(self, delivery: StoredDelivery, job: ClaimedJob) -> dict[str, Any]:
        """Deliver an event; return the answer's status and duration. Raises AttemptFailed."""
        endpoint_id = delivery.endpoint_id
        try:
            endpoint = await self._endpoints.get(endpoint_id)
            if endpoint is None:
                raise _permanent("endpoint_deleted", "the endpoint was deleted")
            if endpoint.disabled_reason is not None:
                raise _permanent("endpoint_disabled", f"the endpoint is disabled ({endpoint.disabled_reason})")
            await self._take_place(delivery, endpoint, job)
        except DatabaseUnavailable as error:
            raise _postponed("database_unavailable", "the database is away", DATABASE_PAUSE_S) from error
        self._endpoints.running[endpoint_id] += 1
        try:
            # By the id the receiver knows an event that it gets twice.
            return await self._send(delivery.message_id or job.id, endpoint_id, endpoint, self._body(delivery))
        finally:
            self._endpoints.running[endpoint_id] -= 1
            if not self._endpoints.running[endpoint_id]:
                del self._endpoints.running[endpoint_id]

    async def _take_place(self, delivery: StoredDelivery, endpoint: EndpointForDelivery, job: ClaimedJob) -> None:
        """Raise AttemptFailed if the delivery has to wait: for the circuit, or for other deliveries."""
        settings, endpoint_id = self._settings, delivery.endpoint_id
        wait_s = postponement_s(job.released, self._jitter(), BASE_WAIT_S, settings.webhook_max_wait_seconds)
        if endpoint.open_s is not None:
            circuit_s = settings.webhook_circuit.open_seconds(endpoint.failures) or settings.webhook_timeout_seconds
            open_s = max(circuit_s, settings.webhook_timeout_seconds)
            is_trying = endpoint.open_s <= 0 and await self._endpoints.run(
                lambda connection: attempts.take_try(connection, endpoint_id, open_s)
            )
            self._endpoints.forget(endpoint_id)
            if not is_trying:
                age_s = self._unix_s() - datetime.fromisoformat(delivery.event["timestamp"]).timestamp()
                if job.run == 0 and age_s > settings.webhook_give_up_seconds:
                    raise _permanent("given_up", "the endpoint has failed for as long as a delivery is tried")
                text = f"the endpoint has failed {endpoint.failures} times in a row; its deliveries wait"
                raise _postponed("circuit_open", text, max(0.0, endpoint.open_s) + wait_s)
        elif self._endpoints.running[endpoint_id] >= settings.webhook_endpoint_concurrency:
            text = f"{settings.webhook_endpoint_concurrency} deliveries to the endpoint are being made"
            raise _postponed("endpoint_busy", text, wait_s)

    def _body(self, delivery: StoredDelivery) -> bytes:
        """Return the body of a message: the event, with the result of its job if its endpoint wants it."""
        event = delivery.event
        if not delivery.has_result:
            return orjson.dumps(event)
        if not delivery.result_omitted:
            body = orjson.dumps({**event, "data": {**event["data"], "result": delivery.result}})
            if len(body) <= self._settings.webhook_max_body_bytes:
                return body
        return orjson.dumps({**event, "data": {**event["data"], "result": None, "result_omitted": True}})

    async def _send(
        self, message_id: str, endpoint_id: str, endpoint: EndpointForDelivery, body: bytes
    ) -> dict[str, Any]:
        failure: Failure | None
        began_s, response = time.perf_counter(), None
        try:
            target = self._settings.webhook_url_rules.parse(endpoint.url)
            secrets = _decrypted(endpoint, endpoint_id, self._settings.webhook_keys)
            headers = signature.headers(secrets, message_id, int(self._unix_s()), body)
            response = await self._client.post(target, body, headers)
            failure = _failure_of(response)
        except SecretUnreadable as error:
            failure = _failure("secret_unreadable", str(error))
        except TargetRefused as error:
            failure = _failure("target_refused", str(error))
        except ValueError as error:  # the rules have changed since the endpoint was stored
            failure = _failure("target_refused", f"the URL {error}")
        except TimeoutError:
            failure = _failure("timeout", f"no answer within {self._settings.webhook_timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            failure = _failure("connection_failed", f"{type(error).__name__}: {error}")
        seconds = round(time.perf_counter() - began_s, 3)
        await self._count(endpoint_id, endpoint, failure, response)
        if failure is not None:
            raise AttemptFailed(failure)
        return {"status": None if response is None else response.status, "seconds": seconds}

    async def _count(
        self, endpoint_id: str, endpoint: EndpointForDelivery, failure: Failure | None, response: Response | None
    ) -> None:
        """Write what an attempt says of its endpoint. While the database is away, nothing is counted."""
        try:
            if failure is None:
                await self._endpoints.run(partial(attempts.succeeded, endpoint_id=endpoint_id))
                if endpoint.failures:
                    self._endpoints.forget(endpoint_id)
                return
            count = await self._endpoints.run(
                lambda connection: attempts.failed(
                    connection,
                    endpoint_id,
                    failure.error_text,
                    self._open_seconds,
                    self._settings.webhook_disable_after_seconds,
                    gone=response is not None and response.status == GONE,
                )
            )
        except DatabaseUnavailable as error:
            log.warning("database_unavailable", reason=str(error).strip())
            return
        self._endpoints.forget(endpoint_id)
        if count is not None and count.disabled_reason is not None:
            reason = DisabledReason(count.disabled_reason)
            log.warning("webhook_endpoint_disabled", endpoint=endpoint_id, tenant=endpoint.tenant, reason=reason)
        elif count is not None and count.is_open and count.failures == self._settings.webhook_circuit_failures:
            log.warning("webhook_circuit_opened", endpoint=endpoint_id, tenant=endpoint.tenant)


def _decrypted(endpoint: EndpointForDelivery, endpoint_id: str, keys: list[str]) -> list[str]:
    if not keys:
        raise SecretUnreadable("the worker has no JOBPROC_WEBHOOK_ENCRYPTION_KEY")
    owner = UUID(endpoint_id).bytes
    return [secret_encryption.decrypt(base64.b64decode(secret), keys, owner) for secret in endpoint.secrets]


def _failure_of(response: Response) -> Failure | None:
    if response.status in SUCCESSES:
        return None
    text = f"the receiver answered {response.status}" + (f": {response.text}" if response.text else "")
    outcome = AttemptOutcome.PERMANENT if response.status == GONE else AttemptOutcome.ERROR
    return Failure(outcome, f"http_{response.status}", text, response.retry_after_s)


def _failure(error_type: str, text: str) -> Failure:
    return Failure(AttemptOutcome.ERROR, error_type, text)


def _permanent(error_type: str, text: str) -> AttemptFailed:
    return AttemptFailed(Failure(AttemptOutcome.PERMANENT, error_type, text))


def _postponed(error_type: str, text: str, seconds: float) -> AttemptFailed:
    return AttemptFailed(Failure(AttemptOutcome.RELEASED, error_type, text, seconds))
