"""Streams without an end, as far as an example needs them."""

from typing import Any

import httpx

ENDLESS = ("/jobs/events", "/live")


def beginning(client: httpx.Client, path: str, **request: Any) -> httpx.Response:
    """Return the response of a stream as far as its second event."""
    with client.stream("GET", path, **request) as response:
        if response.status_code != 200:
            response.read()
            return response
        text = ""
        for part in response.iter_text():
            text += part
            if text.count("event: ") >= 2:
                break
        return httpx.Response(200, headers={"Content-Type": response.headers["content-type"]}, text=text)
