"""The table of the outbox as a model, so that `manage.py migrate` makes it."""

from django.db import models

from jobproc.outbox.table import TABLE


class OutboxRow(models.Model):  # type: ignore[misc]  # Django has no types
    """A task that a transaction has enqueued. The relay writes what became of it."""

    id = models.CharField(primary_key=True, max_length=36)
    body = models.TextField()
    created_at = models.FloatField()
    due_at = models.FloatField(null=True)
    attempts = models.IntegerField(db_default=0)
    unsure_since = models.FloatField(null=True)
    sent_at = models.FloatField(null=True)
    job_id = models.CharField(max_length=36, null=True)  # noqa: DJ001 - the table of the outbox has NULL there
    refused_at = models.FloatField(null=True)
    problem = models.TextField(null=True)  # noqa: DJ001 - likewise

    class Meta:
        """The names of the table and its indexes."""

        db_table = TABLE
        indexes = (
            models.Index(fields=["due_at", "id"], name=f"{TABLE}_due"),
            models.Index(fields=["sent_at"], name=f"{TABLE}_sent"),
        )

    def __str__(self) -> str:
        """Return the id."""
        return str(self.id)
