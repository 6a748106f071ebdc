"""Deliveries: retries, circuits, disabled endpoints, secrets, second deliveries; and that no client can forge one."""

import threading
import time
from collections.abc import Callable
from typing import Any

from integration.webhooks.conftest import settings_for
from rig.system import System, until
from rig.webhook_receiver import OK, Answer, Received, WebhookReceiver

Create = Callable[..., dict[str, Any]]
UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


def submit(system: System, endpoint: dict[str, Any], operation: str = "square_sum", **members: Any) -> str:
    """Submit a job with a webhook; return its id."""
    body = {"input": {"data": [1]}, "operation": operation, "webhook": {"endpoint_id": endpoint["id"]}, **members}
    response = system.client.post("/jobs/", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def shown(system: System, endpoint: dict[str, Any]) -> dict[str, Any]:
    return dict(system.client.get(endpoint["links"]["self"]).json())


def deliveries(system: System, endpoint: dict[str, Any], **parameters: str) -> list[dict[str, Any]]:
    response = system.client.get("/webhooks/deliveries", params={"endpoint_id": endpoint["id"], **parameters})
    assert response.status_code == 200, response.text
    return list(response.json()["deliveries"])


def make_due(system: System) -> bool:
    """Let deliveries that wait for their next attempt begin it now. Returns False."""
    system.database.rows("UPDATE live SET claimable_at = now() WHERE worker IS NULL AND queue = 'webhooks'")
    return False


def test_an_attempt_that_fails_is_repeated_and_each_is_shown(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    answers = iter([(500, {}, b"broken"), (302, {"location": "/else"}, b""), OK])
    receiver.answer = lambda _: next(answers)
    endpoint = create(receiver.url())
    submit(webhooks, endpoint)
    until("three requests", lambda: make_due(webhooks) or len(receiver.received) == 3)
    [delivery] = deliveries(webhooks, endpoint)
    job = webhooks.wait(delivery["job_id"])
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["error", "error", "success"]
    assert job["attempts"][0]["error"]["type"] == "http_500"
    assert job["attempts"][0]["error"]["text"] == "the receiver answered 500: broken"
    assert {request.headers["webhook-id"] for request in receiver.received} == {delivery["job_id"]}
    assert shown(webhooks, endpoint)["failures"] == 0
    assert delivery["max_attempts"] == 21


def test_the_receiver_says_when_to_try_again(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    receiver.answer = lambda _: (429, {"retry-after": "3600"}, b"")
    endpoint = create(receiver.url())
    submit(webhooks, endpoint)
    until("the first attempt", lambda: shown(webhooks, endpoint)["failures"] == 1)
    left = until(
        "the next attempt has its time",
        lambda: webhooks.database.value(
            "SELECT date_part('epoch', claimable_at - now()) FROM live WHERE worker IS NULL AND queue = 'webhooks'"
        ),
    )
    assert 3_500 < left <= 3_600


def test_an_endpoint_that_is_gone_gets_nothing_more(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    receiver.answer = lambda _: (410, {}, b"")
    endpoint = create(receiver.url())
    submit(webhooks, endpoint)
    until("it is disabled", lambda: shown(webhooks, endpoint)["state"] == "DISABLED")
    state = shown(webhooks, endpoint)
    assert (state["disabled"], state["disabled_reason"]) == (True, "gone")
    [delivery] = deliveries(webhooks, endpoint)
    assert webhooks.wait(delivery["job_id"])["error"]["type"] == "http_410"
    webhooks.wait(submit(webhooks, endpoint))
    webhooks.wait(submit(webhooks, endpoint, "fail_for_good"))
    assert len(deliveries(webhooks, endpoint)) == len(receiver.received) == 1
    assert webhooks.events("worker", "webhook_endpoint_disabled")[0]["reason"] == "gone"
    receiver.answer = lambda _: OK
    enabled = webhooks.client.patch(endpoint["links"]["self"], json={"disabled": False}).json()
    assert (enabled["state"], enabled["disabled_reason"]) == ("ACTIVE", None)
    job_id = submit(webhooks, endpoint)
    until("the next event", lambda: job_id in {event["data"]["job_id"] for event in receiver.events()})


def test_the_deliveries_of_an_endpoint_that_fails_wait_and_one_tries(
    system: System, receiver: WebhookReceiver, create: Create
) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    system.env.update(settings_for(receiver), JOBPROC_WEBHOOK_CIRCUIT_FAILURES="3")
    system.env.update(JOBPROC_WEBHOOK_CIRCUIT_OPEN_SECONDS="3600", JOBPROC_WEBHOOK_CIRCUIT_MAX_OPEN_SECONDS="3600")
    system.api().worker(queues="default,webhooks").controller()
    endpoint = create(receiver.url())
    for _ in range(3):
        submit(system, endpoint)
    until("its circuit opens", lambda: make_due(system) or shown(system, endpoint)["state"] == "FAILING")
    assert system.events("worker", "webhook_circuit_opened")
    tried = len(receiver.received)
    receiver.answer = lambda _: OK
    later = [submit(system, endpoint) for _ in range(5)]
    for job_id in later:
        system.wait(job_id)
    released = "SELECT count(*) FROM attempts WHERE outcome = 'released' AND error_type = 'circuit_open'"
    until("all wait", lambda: make_due(system) or system.database.value(released) >= 8)
    assert len(receiver.received) <= tried + 2  # those that were under way in two processes
    system.database.rows("UPDATE webhook_endpoints SET open_until = now() - interval '1 s'")
    until("one tries, and all are delivered", lambda: make_due(system) or len(receiver.events()) >= tried + 8)
    until("it is active", lambda: shown(system, endpoint)["state"] == "ACTIVE")
    until("each is delivered", lambda: len(deliveries(system, endpoint, status="SUCCESS")) == 8)
    charged = system.database.rows("SELECT max(attempt - released) FROM outcomes WHERE status = 'SUCCESS'")
    assert charged[0][0] <= tried + 1  # waits are not charged


def test_an_endpoint_that_fails_for_days_is_disabled(system: System, receiver: WebhookReceiver, create: Create) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    system.env.update(settings_for(receiver), JOBPROC_WEBHOOK_CIRCUIT_FAILURES="1")
    system.env.update(JOBPROC_WEBHOOK_CIRCUIT_OPEN_SECONDS="0.1", JOBPROC_WEBHOOK_DISABLE_AFTER_SECONDS="86400")
    system.api().worker(queues="default,webhooks").controller()
    endpoint = create(receiver.url())
    submit(system, endpoint)
    until("it has failed", lambda: shown(system, endpoint)["state"] == "FAILING")
    system.database.rows("UPDATE webhook_endpoints SET failing_since = now() - interval '2 days', open_until = now()")
    until("it is disabled", lambda: make_due(system) or shown(system, endpoint)["disabled_reason"] == "failing")
    [delivery] = deliveries(system, endpoint)
    until("the delivery ends", lambda: make_due(system) or system.status(delivery["job_id"]) == "FAILED")
    assert system.job(delivery["job_id"])["error"]["type"] == "endpoint_disabled"


def test_a_slow_endpoint_delays_no_other(system: System, receiver: WebhookReceiver, create: Create) -> None:
    slow = WebhookReceiver()
    stop = threading.Event()
    running, most = 0, 0
    lock = threading.Lock()

    def answer(_: Received) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        stop.wait(30)
        with lock:
            running -= 1
        return OK

    slow.answer = answer
    system.env.update(settings_for(receiver, slow), JOBPROC_WEBHOOK_TIMEOUT_SECONDS="30")
    system.env.update(JOBPROC_WEBHOOK_ENDPOINT_CONCURRENCY="2", JOBPROC_ASYNC_CONCURRENCY="8")
    system.api().worker(queues="default,webhooks", concurrency=1).controller()
    bad, good = create(slow.url()), create(receiver.url())
    try:
        for _ in range(30):
            submit(system, bad)
        until("the slow one is busy", lambda: most == 2)
        began = time.monotonic()
        for _ in range(5):
            submit(system, good)
        until("the others have come", lambda: len(receiver.received) == 5)
        assert time.monotonic() - began < 10
        assert most == 2
        assert len(slow.received) == 2
    finally:
        stop.set()
        slow.close()


def test_an_event_is_delivered_again_as_the_same_message(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    endpoint = create(receiver.url())
    submit(webhooks, endpoint)
    until("the event", lambda: receiver.received)
    [delivery] = deliveries(webhooks, endpoint)
    response = webhooks.client.post(delivery["links"]["redeliver"])
    assert response.status_code == 202, response.text
    webhooks.wait(response.json()["job_id"])
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery["job_id"]
    assert first.event == second.event
    assert len(deliveries(webhooks, endpoint)) == 2
    assert webhooks.client.post(f"/webhooks/deliveries/{UNKNOWN}/redeliver").status_code == 404


def test_a_delivery_that_was_given_up_is_retried_by_hand(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    endpoint = create(receiver.url(), max_attempts=1)
    submit(webhooks, endpoint)
    [delivery] = until("it is given up", lambda: deliveries(webhooks, endpoint, status="FAILED"))
    assert delivery["error"]["type"] == "http_500"
    receiver.answer = lambda _: OK
    assert webhooks.client.post(f"/jobs/{delivery['job_id']}/retry").status_code == 202
    assert webhooks.wait(delivery["job_id"])["status"] == "SUCCESS"
    forged = {"input": {"endpoint_id": endpoint["id"], "event": {"type": "x", "timestamp": "", "data": {}}}}
    response = webhooks.client.post(f"/jobs/{delivery['job_id']}/retry", json=forged)
    assert response.status_code == 422, response.text


def test_no_client_can_submit_a_delivery(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url())
    forged = {"endpoint_id": endpoint["id"], "event": {"type": "job.succeeded", "timestamp": "", "data": {}}}
    response = webhooks.client.post("/jobs/", json={"operation": "jobproc.webhook", "input": forged})
    assert (response.status_code, response.json()["type"]) == (422, "urn:jobproc:problem:unknown-operation")
    names = [each["name"] for each in webhooks.client.get("/operations").json()["operations"]]
    assert "jobproc.webhook" not in names


def test_results_are_sent_to_who_wants_them(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url(), include_result=True)
    submit(webhooks, endpoint, input={"data": [3]})
    [event] = until("the event", receiver.events)
    assert event["data"]["result"] == 9.0
    [delivery] = deliveries(webhooks, endpoint)
    assert "result" not in delivery["data"]
    submit(webhooks, endpoint, "big_result", input={"data": [300_000]})
    event = until("the second event", lambda: receiver.events()[1:])[0]
    assert (event["data"]["result"], event["data"]["result_omitted"]) == (None, True)


def test_only_wanted_events_are_sent(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url(), events=["job.cancelled"])
    webhooks.wait(submit(webhooks, endpoint))
    webhooks.wait(submit(webhooks, endpoint, "fail_for_good"))
    waiting = submit(webhooks, endpoint, delay_seconds=3_600)
    webhooks.client.post(f"/jobs/{waiting}/cancel").raise_for_status()
    [event] = until("the event", receiver.events)
    assert (event["type"], event["data"]["job_id"], event["data"]["status"]) == ("job.cancelled", waiting, "CANCELLED")
    assert len(deliveries(webhooks, endpoint)) == 1


def test_jobs_that_name_none_have_the_default_endpoint(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    endpoint = create(receiver.url(), default=True)
    plain = webhooks.submit("square_sum", 1)
    without = webhooks.client.post("/jobs/", json={"data": [1], "operation": "square_sum", "webhook": None}).json()
    webhooks.wait(without["job_id"])
    [event] = until("the event", receiver.events)
    assert event["data"]["job_id"] == plain
    assert webhooks.job(plain)["webhook"] == {"endpoint_id": endpoint["id"]}
    other = create(receiver.url("/other"), default=True)
    assert not shown(webhooks, endpoint)["default"]
    assert shown(webhooks, other)["default"]


def test_a_deleted_endpoint_gets_nothing_more(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    endpoint = create(receiver.url())
    submit(webhooks, endpoint)
    until("it has failed", lambda: shown(webhooks, endpoint)["failures"] == 1)
    [delivery] = deliveries(webhooks, endpoint)
    assert webhooks.client.delete(endpoint["links"]["self"]).status_code == 204
    until("it ends", lambda: make_due(webhooks) or webhooks.status(delivery["job_id"]) == "FAILED")
    assert webhooks.job(delivery["job_id"])["error"]["type"] == "endpoint_deleted"
    assert webhooks.database.value("SELECT count(*) FROM webhook_secrets") == 0
    response = webhooks.client.post(
        "/jobs/", json={"data": [1], "operation": "noop", "webhook": {"endpoint_id": endpoint["id"]}}
    )
    assert response.status_code == 422


def test_each_run_of_a_job_is_told_of(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url())
    job_id = submit(webhooks, endpoint, "fail_for_good")
    until("the first", lambda: len(receiver.received) == 1)
    webhooks.client.post(f"/jobs/{job_id}/retry").raise_for_status()
    until("the second", lambda: len(receiver.received) == 2)
    first, second = (event["data"] for event in receiver.events("job.failed"))
    assert (first["run"], second["run"]) == (0, 1)
    assert first["sequence"] < second["sequence"]
