"""HEAD on an endless stream: the response ends after its headers."""

import asyncio
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.web.compression import ReadMiddleware


async def endless_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with an endless stream."""

    async def events() -> Any:
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0)

    assert scope["method"] == "GET"
    scope["route"] = "taken"
    await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)


async def receive_never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("compression_min_bytes", [0, 1_024])
def test_a_head_request_ends_a_stream_after_its_headers(version: str, compression_min_bytes: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"spec_version": version},
        "method": "HEAD",
        "path": "/",
        "headers": [(b"accept-encoding", b"gzip")],
    }
    asyncio.run(asyncio.wait_for(ReadMiddleware(endless_app, compression_min_bytes)(scope, receive_never, send), 2))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1].get("body", b"") == b""
    assert scope["method"] == "HEAD"
    assert scope["route"] == "taken", "metrics are labelled with the route"
