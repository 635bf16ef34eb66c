from decimal import Decimal

from django.db import migrations, models

KINDS = [
    ("compaction", "Compaction"),
    ("trim", "Trim"),
    ("rung", "Overflow ladder"),
    ("gate_rejected", "Gate rejection"),
    ("recovery", "Overflow recovery"),
    ("surgery", "Surgery"),
    ("upstream", "Trouble with the model's service"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0003_rollups_and_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="EventHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.DateTimeField()),
                ("kind", models.CharField(choices=KINDS, max_length=16)),
                ("outcome", models.CharField(max_length=64)),
                ("code", models.CharField(blank=True, max_length=64)),
                ("model", models.CharField(blank=True, max_length=64)),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("events", models.PositiveIntegerField(default=0)),
                ("tokens_before", models.BigIntegerField(default=0)),
                ("tokens_after", models.BigIntegerField(default=0)),
                ("seconds", models.FloatField(default=0)),
                ("timed", models.PositiveIntegerField(default=0)),
            ],
            options={
                "verbose_name": "hour of events",
                "verbose_name_plural": "hours of events",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("start", "kind", "outcome", "code", "model", "strategy"), name="event_hour_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UserDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.DateTimeField()),
                ("user", models.BigIntegerField()),
                ("model", models.CharField(blank=True, max_length=64)),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("calls", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("counted", models.PositiveIntegerField(default=0)),
                ("priced", models.PositiveIntegerField(default=0)),
                ("input", models.BigIntegerField(default=0)),
                ("cache_read", models.BigIntegerField(default=0)),
                ("cache_write", models.BigIntegerField(default=0)),
                ("output", models.BigIntegerField(default=0)),
                ("cost", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("saved", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
            ],
            options={
                "verbose_name": "day of a user",
                "verbose_name_plural": "days of users",
                "indexes": [models.Index(fields=["start"], name="user_day_start")],
                "constraints": [
                    models.UniqueConstraint(fields=("model", "start", "user", "strategy"), name="user_day_once")
                ],
            },
        ),
        migrations.AddField("modelcall", "rewritten", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AddField("modelcall", "cut", models.JSONField(blank=True, null=True)),
        migrations.AddField("sessiongauge", "spared", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AddField("rollup", "rewritten", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField(
            "rollup",
            "rewrite_cost",
            models.DecimalField(db_default=Decimal(0), decimal_places=6, default=0, max_digits=18),
        ),
        migrations.AddField("rollup", "cut", models.JSONField(blank=True, null=True)),
        migrations.AddIndex("contextevent", models.Index(fields=["kind", "at"], name="event_kind_at")),
        migrations.AddIndex("contextevent", models.Index(fields=["user", "at"], name="event_user_at")),
    ]
