"""The two drivers of calls: one waits for each step, the other awaits it."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar, cast

from jobproc.client.connection.configuration import Configuration
from jobproc.client.connection.steps import END, Emit, Open, Pause, ReadLine, Send, Step, Steps, Take
from jobproc.client.connection.transport import AsyncTransport, Transport

T = TypeVar("T")


class Driver:
    """Runs calls and waits."""

    def __init__(self, configuration: Configuration, sleep: Callable[[float], None] = time.sleep) -> None:
        self._transport = Transport(configuration)
        self._sleep = sleep
        self.close = self._transport.close

    def run(self, steps: Steps[T]) -> T:
        """Run a call to its end, and return its value."""
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return cast("T", end.value)
            outcome = self._perform(step)

    def iterate(self, steps: Steps[Any]) -> Iterator[Any]:
        """Run a call, and yield its items."""
        outcome: Any = None
        stream: Generator[Any] = (line for line in list[Any]())
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    outcome = yield step.item
                elif isinstance(step, Open):
                    stream.close()
                    stream = cast("Generator[Any]", self._transport.lines(step.request))
                    outcome = next(stream, None)
                else:
                    outcome = next(stream, None) if isinstance(step, ReadLine) else self._perform(step)
        finally:
            with closing(stream):
                steps.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Send():
                return self._transport.send(step)
            case Pause():
                return self._sleep(step.seconds)
            case Take():
                return next(cast("Iterator[Any]", step.source), END)
        raise TypeError(step)


class AsyncDriver:
    """Runs calls and awaits their steps."""

    def __init__(self, configuration: Configuration, sleep: Callable[[float], Any] | None = None) -> None:
        import asyncio  # takes as long to import as the rest of the client

        self._transport = AsyncTransport(configuration)
        self._sleep = sleep or asyncio.sleep
        self.close = self._transport.close

    async def run(self, steps: Steps[T]) -> T:
        """Run a call to its end, and return its value."""
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return cast("T", end.value)
            outcome = await self._perform(step)

    async def iterate(self, steps: Steps[Any]) -> AsyncIterator[Any]:
        """Run a call, and yield its items."""
        outcome: Any = None
        stream: AsyncGenerator[Any] = _no_lines()
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    outcome = yield step.item
                elif isinstance(step, Open):
                    await stream.aclose()
                    stream = cast("AsyncGenerator[Any]", self._transport.lines(step.request))
                    outcome = await anext(stream, None)
                else:
                    outcome = await anext(stream, None) if isinstance(step, ReadLine) else await self._perform(step)
        finally:
            async with aclosing(stream):
                steps.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Send():
                return await self._transport.send(step)
            case Pause():
                return await self._sleep(step.seconds)
            case Take():
                source = step.source
                return await anext(source, END) if isinstance(source, AsyncIterator) else next(source, END)
        raise TypeError(step)


async def _no_lines() -> AsyncGenerator[Any]:
    for line in list[Any]():
        yield line
