"""The app of Django."""

from django.apps import AppConfig


class JobprocConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """The app with the table of the outbox."""

    name = "jobproc.django"
    label = "jobproc"
    default_auto_field = "django.db.models.BigAutoField"
