"""The table of the outbox."""

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Create the table."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.CharField(primary_key=True, serialize=False, max_length=36)),
                ("body", models.TextField()),
                ("created_at", models.FloatField()),
                ("due_at", models.FloatField(null=True)),
                ("attempts", models.IntegerField(db_default=0)),
                ("unsure_since", models.FloatField(null=True)),
                ("sent_at", models.FloatField(null=True)),
                ("job_id", models.CharField(max_length=36, null=True)),
                ("refused_at", models.FloatField(null=True)),
                ("problem", models.TextField(null=True)),
            ],
            options={
                "db_table": "jobproc_outbox",
                "indexes": [
                    models.Index(fields=["due_at", "id"], name="jobproc_outbox_due"),
                    models.Index(fields=["sent_at"], name="jobproc_outbox_sent"),
                ],
            },
        ),
    )
