"""Verbs: methods of a resource that are written once, as calls, for both kinds of clients.

A verb of a resource of `Client` returns its value, the same verb of `AsyncClient` an awaitable of it. Types know which.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.request import Request
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Flow

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", bound=Driver | AsyncDriver)


class Resource(Generic[D]):
    """A part of a client: its session, and the driver of its calls."""

    def __init__(self, session: Session, driver: D) -> None:
        self._session = session
        self._driver: Any = driver

    def _run(self, call: Request[Any] | Flow[Any]) -> Any:
        return self._driver.run(self._session.steps(call))

    def _iterate(self, call: Flow[None]) -> Any:
        return self._driver.iterate(self._session.steps(call))


class Thing(Resource[D]):
    """A resource with an id, of which its verbs are."""

    def __init__(self, session: Session, driver: D, thing_id: str) -> None:
        super().__init__(session, driver)
        self._id = thing_id

    @property
    def id(self) -> str:
        """The id."""
        return self._id

    def __repr__(self) -> str:
        """Return the type and the id."""
        return f"<{type(self).__name__} {self._id}>"


class verb(Generic[P, T]):  # noqa: N801 - used as a decorator is
    """A method that makes a call, and runs it."""

    def __init__(self, make: Callable[P, Request[T] | Flow[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, resource: Resource[Driver], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: object) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        """Return the method of a resource."""
        if resource is None:
            return self
        return lambda *args, **named: resource._run(self._make(*args, **named))  # noqa: SLF001 - its base is here


class own_verb(Generic[P, T]):  # noqa: N801 - used as a decorator is
    """A method that makes a call about the id of its thing, and runs it."""

    def __init__(self, make: Callable[Concatenate[str, P], Request[T] | Flow[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, thing: Thing[Driver], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, thing: Thing[AsyncDriver], owner: object) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, thing: Thing[Any] | None, owner: object) -> Any:
        """Return the method of a thing."""
        if thing is None:
            return self
        return lambda *args, **named: thing._run(self._make(thing.id, *args, **named))  # noqa: SLF001 - its base is here


class items(Generic[P, T]):  # noqa: N801 - used as a decorator is
    """A method that makes a call with items, over which the caller iterates."""

    def __init__(self, make: Callable[P, Flow[None]], item: Callable[..., T]) -> None:
        self._make = make
        self._item = item
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, resource: Resource[Driver], owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        """Return the method of a resource."""
        if resource is None:
            return self
        return lambda *args, **named: resource._iterate(self._make(*args, **named))  # noqa: SLF001 - its base is here


class own_items(Generic[P, T]):  # noqa: N801 - used as a decorator is
    """A method that makes a call with items about the id of its thing."""

    def __init__(self, make: Callable[Concatenate[str, P], Flow[None]], item: Callable[..., T]) -> None:
        self._make = make
        self._item = item
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, thing: Thing[Driver], owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, thing: Thing[AsyncDriver], owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, thing: Thing[Any] | None, owner: object) -> Any:
        """Return the method of a thing."""
        if thing is None:
            return self
        return lambda *args, **named: thing._iterate(self._make(thing.id, *args, **named))  # noqa: SLF001 - its base is here
