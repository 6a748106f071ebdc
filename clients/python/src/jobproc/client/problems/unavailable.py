"""Errors by the types of problems. Made by `make generate`."""

from jobproc.client.errors import Throttled, Unavailable


class QueueLate(Throttled):
    """The backlog of the queue is too old."""


class RateLimited(Throttled):
    """Too many requests."""


class QuotaExceeded(Throttled):
    """A quota of the tenant is used up."""


class NotReady(Unavailable):
    """This process cannot accept submissions."""


class Overloaded(Unavailable):
    """Too many buffered submissions."""


class TooManyWaiting(Unavailable):
    """Too many waiting clients."""


class TooManyConnections(Unavailable):
    """Too many connections."""


class StoreUnavailable(Unavailable):
    """The database is unavailable."""


class IssuerUnavailable(Unavailable):
    """The OpenID provider is unavailable."""


class TooManyReads(Unavailable):
    """Too many expensive reads."""


class ReadTimeout(Unavailable):
    """The read took too long."""


class FeedNotSwitched(Unavailable):
    """The feed was not switched."""


class Internal(Unavailable):
    """Internal server error."""


class TooManyPreviews(Throttled):
    """Too many bulk actions wait for their start."""


class QueueChangeUnconfirmed(Unavailable):
    """The change of the queue is not confirmed."""
