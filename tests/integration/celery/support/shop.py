"""A small shop that runs on Celery: the app and its tasks, as a team has them before it moves."""

import time
from pathlib import Path
from typing import Any

from celery import Celery, signals

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.task_routes = {"shop.receipt": {"queue": "mail"}}
seen: list[str] = []


@signals.task_prerun.connect
def note(task_id: str, task: object, **_facts: object) -> None:
    """Note each task that begins."""
    seen.append(f"{task.name} {task_id}")  # type: ignore[attr-defined]  # a task of Celery


@app.task(name="shop.price")
def price(amount: int, *, tax: int = 20) -> int:
    """Return the price with its tax."""
    return amount * (100 + tax) // 100


@app.task(name="shop.charge", bind=True, max_retries=3)
def charge(self: Any, folder: str, key: str, failures: int) -> dict[str, Any]:
    """Charge a card whose bank is away for some attempts."""
    marks = Path(folder) / key
    with marks.open("a") as file:
        file.write(f"{self.request.retries}\n")
    if self.request.retries < failures:
        try:
            raise ConnectionError("the bank is away")
        except ConnectionError as error:
            raise self.retry(exc=error, countdown=0.1) from error
    return {"id": self.request.id, "retries": self.request.retries, "key": self.request.args[1]}


@app.task(name="shop.ship", autoretry_for=(TimeoutError,), retry_kwargs={"countdown": 0.1}, max_retries=2)
def ship(folder: str, key: str, failures: int) -> int:
    """Ship an order with a carrier that is slow for some attempts."""
    marks = Path(folder) / key
    with marks.open("a") as file:
        file.write("x\n")
    if (attempts := len(marks.read_text().split())) <= failures:
        raise TimeoutError(f"no answer {attempts}")
    return attempts


@app.task(name="shop.receipt", ignore_result=True)
def receipt(order: int) -> str:
    """Send a receipt."""
    return f"receipt of {order}"


@app.task(name="shop.broken")
def broken() -> None:
    """Fail, and not ask for a retry."""
    raise LookupError("no such order")


@app.task(name="shop.count", bind=True)
def count(self: Any, folder: str) -> int:
    """Report progress until a file is there."""
    self.update_state(state="COUNTING", meta={"current": 1, "total": 4})
    while not (Path(folder) / "go on").exists():
        time.sleep(0.02)
    return 4


@app.task(name="shop.report", soft_time_limit=0.3)  # type: ignore[call-overload, untyped-decorator]  # a part of a second works
def report() -> str:
    """Give up what takes too long."""
    from celery.exceptions import SoftTimeLimitExceeded

    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "half a report"
    return "a report"


@app.task(name="shop.said")
def said() -> int:
    """Return how many tasks the signal has seen in this process."""
    return len(seen)
