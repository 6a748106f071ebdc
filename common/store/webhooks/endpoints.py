"""Endpoints, for clients: changes, reads and deliveries by hand. In a transaction that is the tenant's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from common.domain.webhooks.errors import DeliveryNotFound, EndpointChanged, EndpointNotFound, TooManyEndpoints
from common.domain.webhooks.events import OPERATION, QUEUE, TAG_PREFIX, DisabledReason, EventType
from common.store.webhooks.deliveries import ATTEMPT_TIMEOUT_MS, deliveries
from common.store.webhooks.records import COLUMNS, DEFINITION_COLUMNS, StoredEndpoint

MAX_SECRETS = 5  # with which a message is signed: more would make the header too long for some receivers
_NAMES, _VALUES = ", ".join(DEFINITION_COLUMNS), ", ".join(f":{name}" for name in DEFINITION_COLUMNS)
# Two requests at once may pass the limit by one.
_ROOM = text("""
    SELECT (SELECT count(*) FROM webhook_endpoints WHERE tenant = :tenant),
           (SELECT max_webhooks FROM tenants WHERE id = :tenant)
""")
_INSERT = text(f"""
    INSERT INTO webhook_endpoints (id, tenant, created_by, disabled_at, disabled_reason, {_NAMES})
    VALUES (:id, :tenant, :created_by, CASE WHEN :disabled THEN clock_timestamp() END,
            CASE WHEN :disabled THEN '{DisabledReason.REQUESTED}' END, {_VALUES})
    ON CONFLICT (id) DO NOTHING
""")
_INSERT_SECRET = text("""
    INSERT INTO webhook_secrets (endpoint, id, tenant, secret) VALUES (:endpoint, :id, :tenant, :secret)
    ON CONFLICT (endpoint, id) DO NOTHING
""")
# The newest ones stay for the overlap, the others go at once.
_EXPIRE_SECRETS = text(f"""
    UPDATE webhook_secrets s
    SET expires_at = least(s.expires_at, clock_timestamp() + CASE
        WHEN ranked.place < {MAX_SECRETS} THEN :overlap_s * interval '1 s' ELSE interval '0 s' END)
    FROM (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place FROM webhook_secrets
          WHERE endpoint = :endpoint AND tenant = :tenant) ranked
    WHERE s.endpoint = :endpoint AND s.tenant = :tenant AND s.id = ranked.id
""")
_READ = f"SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant = :tenant AND id = :id"
_LOCK = text(f"{_READ} FOR UPDATE")
_TAKE_DEFAULT = text("""
    UPDATE webhook_endpoints SET is_default = false, rev = rev + 1, changed_at = clock_timestamp()
    WHERE tenant = :tenant AND is_default AND id <> :id
""")
_UPDATE = text(f"""
    UPDATE webhook_endpoints
    SET ({_NAMES}) = ({_VALUES}), rev = rev + 1, changed_at = clock_timestamp() WHERE tenant = :tenant AND id = :id
""")
_DISABLE = text(f"""
    UPDATE webhook_endpoints SET disabled_at = clock_timestamp(), disabled_reason = '{DisabledReason.REQUESTED}'
    WHERE tenant = :tenant AND id = :id AND disabled_at IS NULL
""")
_ENABLE = text("""
    UPDATE webhook_endpoints
    SET disabled_at = NULL, disabled_reason = NULL, failures = 0, failing_since = NULL, open_until = NULL
    WHERE tenant = :tenant AND id = :id
""")
_TOUCH = text("""
    UPDATE webhook_endpoints SET rev = rev + 1, changed_at = clock_timestamp() WHERE tenant = :tenant AND id = :id
""")
_DELETE_SECRETS = text("DELETE FROM webhook_secrets WHERE tenant = :tenant AND endpoint = :id")
_DELETE = text("DELETE FROM webhook_endpoints WHERE tenant = :tenant AND id = :id")
_SECRETS = text("""
    SELECT id, created_at, expires_at FROM webhook_secrets
    WHERE tenant = :tenant AND endpoint = :id AND (expires_at IS NULL OR expires_at > clock_timestamp())
    ORDER BY created_at DESC
""")
_PAGE = """
    SELECT {columns} FROM webhook_endpoints WHERE tenant = :tenant AND id > :after {filters} ORDER BY id LIMIT :limit
"""
_FILTERS = {
    "state": """AND :state = CASE WHEN disabled_at IS NOT NULL THEN 'DISABLED'
                                  WHEN open_until IS NOT NULL THEN 'FAILING' ELSE 'ACTIVE' END""",
    "event": "AND (events IS NULL OR :event = ANY (events))",
}
_KNOWN = text("SELECT id, is_default FROM webhook_endpoints WHERE tenant = :tenant")
_TEST = f"""
WITH event AS (
    SELECT $1::uuid AS id, $2::int AS tenant, $3::uuid AS webhook, '{EventType.TEST}' AS type,
           clock_timestamp() AS happened_at, $4::json AS data, NULL::json AS result),
{deliveries("event")}
SELECT count(*) FROM delivery
"""
_REDELIVER = f"""
WITH new AS (
    INSERT INTO jobs (id, tenant, queue, operation, input, max_attempts, timeout_ms, tags, submitted_by)
    SELECT $1, j.tenant, '{QUEUE}', '{OPERATION}',
           (j.input::jsonb || jsonb_build_object('message_id', coalesce(j.input ->> 'message_id', j.id::text)))::json,
           j.max_attempts, {ATTEMPT_TIMEOUT_MS}, j.tags, $4
    FROM jobs j WHERE j.id = $2 AND j.tenant = $3 AND j.operation = '{OPERATION}' AND j.input IS NOT NULL
    ON CONFLICT (id) DO NOTHING RETURNING id, tenant, max_attempts, tags),
live_rows AS (
    INSERT INTO live (id, tenant, queue, max_attempts, claimable_at, needs)
    SELECT id, tenant, '{QUEUE}', max_attempts, clock_timestamp(), '{OPERATION}' FROM new),
tag_rows AS (INSERT INTO tags (id, tenant, tag) SELECT id, tenant, unnest(tags) FROM new)
SELECT count(*) FROM new
"""
_INPUTS = text("SELECT id, input::text FROM jobs WHERE tenant = :tenant AND id = ANY (:ids)")


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint that is to be stored."""

    id: UUID
    tenant: int
    created_by: str | None
    values: Mapping[str, Any]  #: of DEFINITION_COLUMNS
    secret_id: UUID
    secret: bytes  #: encrypted
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class EndpointSearch:
    """The endpoints that a page has. None: all."""

    state: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class SecretTimes:
    """When a secret was made, and until when messages are signed with it."""

    created_at: datetime
    expires_at: datetime | None  #: None: until the next rotation


def create(connection: Connection, new: NewEndpoint, default_limit: int) -> StoredEndpoint:
    """Store an endpoint and its secret. `default_limit`: of a tenant without a quota of its own; 0: no limit.

    Raises TooManyEndpoints. Safe to repeat.
    """
    number, own_limit = connection.execute(_ROOM, {"tenant": new.tenant}).one()
    limit = (default_limit or None) if own_limit is None else own_limit
    key = {"tenant": new.tenant, "id": new.id}
    exists = connection.execute(text(_READ), key).one_or_none() is not None
    if not exists and limit is not None and number >= limit:
        raise TooManyEndpoints(limit)
    if new.values["is_default"]:
        connection.execute(_TAKE_DEFAULT, key)
    connection.execute(_INSERT, {**new.values, **key, "created_by": new.created_by, "disabled": new.disabled})
    _add_secret(connection, new.tenant, new.id, new.secret_id, new.secret)
    return read(connection, new.tenant, new.id)


def read(connection: Connection, tenant: int, endpoint_id: UUID) -> StoredEndpoint:
    """Return an endpoint of a tenant. Raises EndpointNotFound."""
    row = connection.execute(text(_READ), {"tenant": tenant, "id": endpoint_id}).mappings().one_or_none()
    if row is None:
        raise EndpointNotFound
    return StoredEndpoint.from_row(row)


def secrets(connection: Connection, tenant: int, endpoint_id: UUID) -> list[SecretTimes]:
    """Return the times of the secrets of an endpoint with which messages are signed, newest first."""
    rows = connection.execute(_SECRETS, {"tenant": tenant, "id": endpoint_id})
    return [SecretTimes(row.created_at, row.expires_at) for row in rows]


def page(
    connection: Connection, tenant: int, search: EndpointSearch, after: UUID | None, limit: int
) -> list[StoredEndpoint]:
    """Return up to `limit` endpoints of a tenant by id, after an id (None: from the first on)."""
    wanted = {name: value for name in _FILTERS if (value := getattr(search, name)) is not None}
    statement = text(_PAGE.format(columns=COLUMNS, filters=" ".join(_FILTERS[name] for name in wanted)))
    rows = connection.execute(statement, {"tenant": tenant, "after": after or UUID(int=0), "limit": limit, **wanted})
    return [StoredEndpoint.from_row(row) for row in rows.mappings()]


def change(
    connection: Connection,
    tenant: int,
    endpoint_id: UUID,
    values: Mapping[str, Any],
    check: Callable[[dict[str, Any]], None],
    revisions: frozenset[int] | None = None,
) -> StoredEndpoint:
    """Change an endpoint: columns of a definition, and `disabled`. `revisions`: those expected; None: any.

    `check`: raises if the caller may not make the endpoint so, given its definition. Raises EndpointNotFound or
    EndpointChanged.
    """
    before = _lock(connection, tenant, endpoint_id, revisions)
    key = {"tenant": tenant, "id": endpoint_id}
    definition = {name: values.get(name, getattr(before, name)) for name in DEFINITION_COLUMNS}
    if values.keys() & {"url", "include_result"}:
        check(definition)
    if definition["is_default"] and not before.is_default:
        connection.execute(_TAKE_DEFAULT, key)
    connection.execute(_UPDATE, {**definition, **key})
    if (disabled := values.get("disabled")) is not None:
        connection.execute(_DISABLE if disabled else _ENABLE, key)
    return read(connection, tenant, endpoint_id)


def rotate(
    connection: Connection, tenant: int, endpoint_id: UUID, secret_id: UUID, secret: bytes, overlap_s: float
) -> StoredEndpoint:
    """Give an endpoint a new secret; the others end after `overlap_s` seconds. Raises EndpointNotFound."""
    _lock(connection, tenant, endpoint_id)
    connection.execute(_EXPIRE_SECRETS, {"tenant": tenant, "endpoint": endpoint_id, "overlap_s": overlap_s})
    _add_secret(connection, tenant, endpoint_id, secret_id, secret)
    connection.execute(_TOUCH, {"tenant": tenant, "id": endpoint_id})
    return read(connection, tenant, endpoint_id)


def delete(
    connection: Connection, tenant: int, endpoint_id: UUID, revisions: frozenset[int] | None = None
) -> StoredEndpoint:
    """Delete an endpoint and its secrets; return it as it was. Its deliveries stay, and those that wait fail.

    Raises EndpointNotFound or EndpointChanged.
    """
    before = _lock(connection, tenant, endpoint_id, revisions)
    key = {"tenant": tenant, "id": endpoint_id}
    connection.execute(_DELETE_SECRETS, key)
    connection.execute(_DELETE, key)
    return before


def known(connection: Connection, tenant: int) -> tuple[frozenset[UUID], UUID | None]:
    """Return the ids of the endpoints of a tenant, and the one of jobs that name none."""
    rows = [(UUID(str(row.id)), row.is_default) for row in connection.execute(_KNOWN, {"tenant": tenant})]
    return frozenset(id_ for id_, _ in rows), next((id_ for id_, is_default in rows if is_default), None)


def send_test(connection: Connection, tenant: int, endpoint_id: UUID, delivery_id: UUID) -> bool:
    """Store a delivery of a test event; return False if the endpoint is disabled. Raises EndpointNotFound."""
    read(connection, tenant, endpoint_id)
    data = orjson.dumps({"endpoint_id": str(endpoint_id), "sequence": 1}).decode()
    count = connection.exec_driver_sql(_TEST, (delivery_id, tenant, endpoint_id, data)).scalar_one()
    return bool(count)


def redeliver(connection: Connection, tenant: int, delivery_id: UUID, new_id: UUID, subject: str | None) -> None:
    """Store a second delivery of the event of another one, as the same message. Raises DeliveryNotFound."""
    if not connection.exec_driver_sql(_REDELIVER, (new_id, delivery_id, tenant, subject)).scalar_one():
        raise DeliveryNotFound


def inputs(connection: Connection, tenant: int, ids: list[UUID]) -> dict[UUID, dict[str, Any] | None]:
    """Return the events and endpoints of deliveries by their ids; None: retention has deleted them."""
    rows = connection.execute(_INPUTS, {"tenant": tenant, "ids": ids})
    return {UUID(str(row.id)): None if row.input is None else orjson.loads(row.input) for row in rows}


def tag_of(endpoint_id: UUID) -> str:
    """Return the tag of the deliveries of an endpoint."""
    return f"{TAG_PREFIX}{endpoint_id}"


def _add_secret(connection: Connection, tenant: int, endpoint_id: UUID, secret_id: UUID, secret: bytes) -> None:
    connection.execute(_INSERT_SECRET, {"endpoint": endpoint_id, "id": secret_id, "tenant": tenant, "secret": secret})


def _lock(
    connection: Connection, tenant: int, endpoint_id: UUID, revisions: frozenset[int] | None = None
) -> StoredEndpoint:
    row = connection.execute(_LOCK, {"tenant": tenant, "id": endpoint_id}).mappings().one_or_none()
    if row is None:
        raise EndpointNotFound
    endpoint = StoredEndpoint.from_row(row)
    if revisions is not None and endpoint.rev not in revisions:
        raise EndpointChanged
    return endpoint
