"""The modules of a project of Django, which runs its tasks in workers of jobproc."""

SETTINGS = """
import os

SECRET_KEY = "of a test"
USE_TZ = True
INSTALLED_APPS = ["jobproc.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["SHOP_NAME"],
                         "HOST": os.environ["SHOP_HOST"], "PORT": os.environ["SHOP_PORT"], "USER": "postgres",
                         "OPTIONS": {"options": "-c search_path=public"}}}
_URL = {"URL": os.environ["SHOP_API"]}
TASKS = {
    "default": {"BACKEND": "jobproc.django.JobprocBackend", "QUEUES": ["default", "mail"], "OPTIONS": _URL},
    "outbox": {"BACKEND": "jobproc.django.JobprocBackend", "OPTIONS": {**_URL, "OUTBOX": True}},
}
"""
TASKS = """
try:
    from django.tasks import task
except ModuleNotFoundError:
    from django_tasks import task
from django.db import connection


@task
def add(left, right=1):
    return {"sum": left + right}


@task(queue_name="mail", priority=10)
def fail(text):
    raise ValueError(text)


@task(takes_context=True)
def attempt(context, word):
    return [context.attempt, context.task_result.id, word]


@task
async def greet(name):
    return f"Hello {name}"


@task
def ask_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return cursor.fetchone()[0]


@task(backend="outbox")
def later(number):
    return number


@task
def gone():
    return object()


def no_task():
    raise AssertionError
"""
OPERATIONS = """
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_settings")
django.setup()

from jobproc.django import register

run_task = register(queues=("default", "mail"))
"""
