"""What somebody brings in: one upload, and each conversation that was found in it, until it is taken or thrown away."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Import(models.Model):
    """One uploaded file, taken apart. The file itself is not kept; what was found in it waits as its items.

    `problem` is a code for what ended the reading early, '' when the whole file was read; `size` is in bytes. Taken
    or not, it goes after a day with everything that was not taken.
    """

    class State(models.TextChoices):
        SHOWN = "shown"
        RUNNING = "running"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="imports")
    state = models.CharField(max_length=8, choices=State, default=State.SHOWN)
    size = models.PositiveBigIntegerField(default=0)
    problem = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="chat_import_age")]

    def __str__(self) -> str:
        return f"import {self.pk}"


class ImportItem(models.Model):
    """One conversation of an upload. `body` is its JSON, compressed with zlib, until it was taken.

    `digest` is the hash of all its words, by which it is known again. `left_out` counts by code what can't be taken
    along. `session` is what it became, or what it had become before.
    """

    class State(models.TextChoices):
        NEW = "new"
        THERE = "there"
        EMPTY = "empty"
        BROKEN = "broken"
        TAKEN = "taken"

    upload = models.ForeignKey(Import, models.CASCADE, related_name="items")
    index = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State)
    format = models.CharField(max_length=10, blank=True)
    title = models.CharField(max_length=200, blank=True)
    turns = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    left_out = models.JSONField(default=dict, blank=True)
    problem = models.TextField(blank=True)
    body = models.BinaryField(null=True, blank=True)
    session = models.ForeignKey("chat.ChatSession", models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "index"], name="one_item_an_index")]
        indexes = [models.Index(fields=["upload", "state", "index"], name="chat_item_waiting")]

    def __str__(self) -> str:
        return f"item {self.index} of import {self.upload_id}"
