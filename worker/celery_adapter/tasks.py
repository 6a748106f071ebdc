"""The only Celery task: a doorbell rang, so serve its queue."""

from collections.abc import Callable

from celery import Celery

from common.broker.doorbells import TASK


def register(app: Celery, serve: Callable[[str], None]) -> None:
    """Register the task with the app. `serve` takes the name of a queue."""

    @app.task(name=TASK, ignore_result=True)
    def serve_queue(queue: str) -> None:
        serve(queue)
