"""Streams of the progress of batches."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from integration.batches.test_batch_resource import GOOD, add, close, create
from rig.system import System, until


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the ids and the data of the events of a stream."""
    blocks = [
        dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if "event:" in block
    ]
    return [(block["id"], json.loads(block["data"])) for block in blocks]


def test_a_stream_shows_the_progress_of_a_batch_until_it_has_ended(system: System) -> None:
    system.all(JOBPROC_WAIT_POLL_SECONDS="0.05")
    batch_id = create(system)
    add(system, batch_id, [GOOD] * 3)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(system.client.get, f"/batches/{batch_id}/events")
        system.wait_all()
        add(system, batch_id, [GOOD] * 2)
        close(system, batch_id)
        response = stream.result(20)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    assert [data["status"] for _, data in events][-1] == "ENDED"
    assert events[-1][1] == {
        "status": "ENDED",
        "jobs": 5,
        "unfinished": 0,
        "failed": 0,
        "cancelled": 0,
        "progress": 1.0,
    }
    assert len({event_id for event_id, _ in events}) == len(events)
    resumed = system.client.get(f"/batches/{batch_id}/events", headers={"Last-Event-ID": events[-1][0]})
    assert resumed.status_code == 204
    again = system.client.get(f"/batches/{batch_id}/events", headers={"Last-Event-ID": events[0][0]})
    assert [data["status"] for _, data in events_of(again.text)] == ["ENDED"]
    assert system.client.get(f"/batches/{batch_id}/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_client_that_leaves_frees_its_slot_and_an_idle_stream_has_heartbeats(system: System) -> None:
    system.api(
        JOBPROC_EVENT_STREAM_MAX_CLIENTS="1", JOBPROC_WAIT_POLL_SECONDS="0.05", JOBPROC_EVENT_HEARTBEAT_SECONDS="0.1"
    )
    path = f"/batches/{create(system)}/events"
    with httpx.Client(base_url=system.client.base_url) as client, client.stream("GET", path) as stream:
        lines = stream.iter_lines()
        until("a heartbeat", lambda: next(lines) == ":")
        assert system.client.get(path).status_code == 503
    with httpx.Client(base_url=system.client.base_url) as client:

        def opens() -> bool:
            with client.stream("GET", path) as stream:
                return stream.status_code == 200

        until("the slot is free", opens)
