"""A view: a response of the API as its members, with their types."""

from collections.abc import Callable
from json import JSONDecoder
from typing import Any, TypeVar, cast

from jobproc.client.connection.request import Response


class View(dict[str, Any]):
    """An object of a response. Its members are attributes, and items of the dictionary.

    Members that this version does not know stay in it. Times are texts of RFC 3339, as the API writes them.
    """

    etag: str = ""  #: of the response, for a change that must not overwrite another one

    def __getattr__(self, name: str) -> Any:
        """Return a member."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the response has no {name!r}, but: {', '.join(self)}") from None


V = TypeVar("V", bound=View)
_decode = JSONDecoder(object_hook=View).decode


def view(kind: type[V]) -> Callable[[Response], V]:
    """Return a reader of responses of a kind. `kind` is for the type checker: all members stay as they came."""

    def read(response: Response) -> V:
        """Read a response. Raises ValueError."""
        made = _decode(response.body.decode())
        if not isinstance(made, View):
            raise TypeError(f"an object is expected for {kind.__name__}")
        made.etag = response.headers.get("etag", "")
        return cast("V", made)

    return read


def nothing(response: Response) -> None:
    """Read a response without a body."""
