"""An API whose event loop is measured: the CPU time of each callback, so that a busy machine changes little."""

import asyncio
import gc
import threading
import time
from asyncio import events
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from rig.settings import settings_from
from rig.system import until

from api.app import create_app
from tools.servers import free_port


class LoopMonitor:
    """An API in a thread of this process, with the longest time for which one callback held its event loop."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.longest_s = 0.0

    def held_s(self, method: str, path: str, **options: object) -> tuple[httpx.Response, float]:
        """Send a request; return its response and the longest CPU time of a callback meanwhile."""
        self.longest_s = 0.0
        response = self.client.request(method, path, **options)  # type: ignore[arg-type]  # options of httpx
        self._run(asyncio.sleep(0))  # the callback that sent the response has ended when the next one runs
        return response, self.longest_s

    def compute(self, seconds: float) -> float:
        """Hold the event loop for some CPU time; return what was measured."""

        async def compute() -> None:
            """Use CPU in one callback."""
            end_s = time.thread_time() + seconds
            while time.thread_time() < end_s:
                pass

        self.longest_s = 0.0
        self._run(compute())
        self._run(asyncio.sleep(0))
        return self.longest_s

    def _run(self, work: Coroutine[None, None, None]) -> None:
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def monitored_api(database_url: str, redis_url: str) -> Iterator[LoopMonitor]:
    """Serve the API on asyncio's own loop, whose callbacks are Python objects, and measure it."""
    port = free_port()
    config = uvicorn.Config(
        create_app(settings_from(database_url, redis_url, JOBPROC_EVENT_STREAM_MAX_SECONDS="0.5")),
        port=port,
        http="httptools",
        ws="none",
        log_config=None,
    )
    server = uvicorn.Server(config)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client, pytest.MonkeyPatch.context() as patch:
        monitor = LoopMonitor(client)

        async def serve() -> None:
            """Serve until the monitor ends."""
            monitor.loop = asyncio.get_running_loop()
            await server.serve()

        monitor.thread = threading.Thread(target=lambda: asyncio.run(serve()))
        run = events.Handle._run

        def measured_run(handle: events.Handle) -> None:
            if threading.current_thread() is not monitor.thread:
                run(handle)
                return
            began = time.thread_time()
            run(handle)
            monitor.longest_s = max(monitor.longest_s, time.thread_time() - began)

        patch.setattr(events.Handle, "_run", measured_run)
        threshold = gc.get_threshold()
        monitor.thread.start()
        try:
            until("the API answers", lambda: server.started)
            yield monitor
        finally:
            server.should_exit = True
            monitor.thread.join()
            gc.unfreeze()  # the API froze the heap of this process
            gc.set_threshold(*threshold)
