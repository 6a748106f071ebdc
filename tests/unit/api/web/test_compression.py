"""HEAD ends a stream that GET would go on with for ever."""

import asyncio
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.web.compression import ReadMiddleware


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream without an end."""

    async def events() -> Any:
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0)

    assert scope["method"] == "GET"
    scope["route"] = "taken"
    await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("compress_bytes", [0, 1_024])
def test_a_stream_is_left_once_its_head_is_sent(version: str, compress_bytes: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "asgi": {"spec_version": version}, "method": "HEAD", "path": "/", "headers": [(b"accept-encoding", b"gzip")]}
    asyncio.run(asyncio.wait_for(ReadMiddleware(app, compress_bytes)(scope, never, send), 2))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1].get("body", b"") == b""
    assert scope["method"] == "HEAD"
    assert scope["route"] == "taken", "it is measured by its route"
