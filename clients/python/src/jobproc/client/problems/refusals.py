"""Errors by the types of problems. Made by `make generate`."""

from jobproc.client.errors import Forbidden, InvalidRequest, Unauthorized


class MalformedRequest(InvalidRequest):
    """The request is not HTTP/1.1."""


class MalformedJson(InvalidRequest):
    """The body is not valid JSON."""


class Unauthenticated(Unauthorized):
    """The request needs valid credentials."""


class ScopeMissing(Forbidden):
    """The caller may not do this."""


class TenantSuspended(Forbidden):
    """The tenant is suspended."""


class TenantDraining(Forbidden):
    """The tenant submits nothing new."""


class OriginNotAllowed(Forbidden):
    """Pages of this origin may not change anything."""


class MethodNotAllowed(InvalidRequest):
    """Method not allowed."""


class BodyTimeout(InvalidRequest):
    """The body did not arrive in time."""


class BodyTooLarge(InvalidRequest):
    """The body is too large."""


class TargetTooLong(InvalidRequest):
    """The request target is too long."""


class UnsupportedMediaType(InvalidRequest):
    """The body must be JSON."""


class HostNotAllowed(InvalidRequest):
    """The API is not called by this host name."""


class InvalidBody(InvalidRequest):
    """The body is invalid."""


class UnknownOperation(InvalidRequest):
    """No such operation."""


class InvalidParameter(InvalidRequest):
    """A parameter is invalid."""


class IdempotencyKeyReused(InvalidRequest):
    """The idempotency key was used with another body."""


class InvalidIdempotencyKey(InvalidRequest):
    """The idempotency key is invalid."""


class QuotaTooSmall(Forbidden):
    """A quota of the tenant never allows the request."""


class HeadTooLarge(InvalidRequest):
    """The header of the request is too large."""


class SessionNotSameOrigin(Forbidden):
    """A session serves the pages of the API alone."""


class SessionNeedsKey(Forbidden):
    """A session begins with an API key."""


class SessionNeedsHttps(Forbidden):
    """A session needs https."""


class SignInExpired(InvalidRequest):
    """The sign-in has to begin again."""


class SignInRefused(Forbidden):
    """The sign-in was refused."""
