"""The resources of a client whose verbs take ids: queues, schedules, keys, webhooks, the change feed, the audit log."""

from jobproc.client.calls import access, feed, queues, schedules, webhooks
from jobproc.client.connection.verbs import D, Resource, items, verb
from jobproc.client.views.access import ApiKeyView, AuditEntryView
from jobproc.client.views.events import ChangeView
from jobproc.client.views.queues import QueueSummary
from jobproc.client.views.schedules import FireView, ScheduleSummary
from jobproc.client.views.webhooks import DeliveryView, EndpointSummary


class Queues(Resource[D]):
    """The queues."""

    get = verb(queues.queue)
    pause = verb(queues.pause)
    resume = verb(queues.resume)
    change = verb(queues.alter)
    page = verb(queues.page)
    list = items(queues.queues, QueueSummary)


class Schedules(Resource[D]):
    """The schedules."""

    create = verb(schedules.create)
    get = verb(schedules.schedule)
    change = verb(schedules.alter)
    delete = verb(schedules.delete)
    pause = verb(schedules.pause)
    resume = verb(schedules.resume)
    run = verb(schedules.run)
    page = verb(schedules.page)
    list = items(schedules.schedules, ScheduleSummary)
    fires = items(schedules.fires, FireView)


class Keys(Resource[D]):
    """The API keys."""

    create = verb(access.create)
    rotate = verb(access.rotate)
    revoke = verb(access.revoke)
    page = verb(access.page)
    list = items(access.keys, ApiKeyView)


class Webhooks(Resource[D]):
    """The endpoints of webhooks and their deliveries."""

    create = verb(webhooks.create)
    get = verb(webhooks.endpoint)
    change = verb(webhooks.alter)
    delete = verb(webhooks.delete)
    rotate = verb(webhooks.rotate)
    test = verb(webhooks.test)
    redeliver = verb(webhooks.redeliver)
    page = verb(webhooks.page)
    list = items(webhooks.endpoints, EndpointSummary)
    delivery_page = verb(webhooks.delivery_page)
    deliveries = items(webhooks.deliveries, DeliveryView)


class Feed(Resource[D]):
    """The change feed."""

    page = verb(feed.page)
    changes = items(feed.changes, ChangeView)


class Audit(Resource[D]):
    """The audit log."""

    list = items(access.audit, AuditEntryView)
