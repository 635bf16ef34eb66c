"""A conversation and its turns: a tree by `parent`, whose active path is the flag `active`."""

import uuid
from datetime import UTC, datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.literal import one_of


class Instructions(models.Model):
    """A system prompt. Rows are never edited, so that the cached prefix of every session that uses it stays.

    `digest` is the SHA-256 of the text: equal texts share one row.
    """

    text = models.TextField()
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "instructions"

    def __str__(self) -> str:
        return f"instructions {self.digest[:8]}"


class ChatSessionQuerySet(models.QuerySet):
    """Access starts from the owner; foreign and unknown look alike."""

    def owned_by(self, user) -> "ChatSessionQuerySet":
        """The sessions that this user may read and write."""
        return self.filter(owner=user, deleted_at__isnull=True)

    def deleted_by(self, user) -> "ChatSessionQuerySet":
        """The sessions that this user has deleted and may still bring back: whole ones."""
        return self.filter(owner=user, deleted_at__gt=ChatSession.GOING)

    def listed(self) -> "ChatSessionQuerySet":
        """What the list of conversations shows, newest first."""
        return self.filter(archived_at__isnull=True, temporary=False).order_by("-pinned", "-updated_at", "-id")

    def fullest(self, open_tokens: int) -> "ChatSessionQuerySet":
        """Sessions with at least so many uncovered tokens, fullest first: what the sweep looks at. No text is read."""
        return self.filter(deleted_at__isnull=True, open_tokens__gte=open_tokens).order_by("-open_tokens")


class ChatSession(models.Model):
    """A stored conversation.

    `context_version` rises with every change of how finished turns are seen, never by a new turn;
    `prefix_version` is its value at the last commit. `window_from` is the number of the first turn that is sent
    word for word; `restored` are older ones that are sent so again, as [[first, last]] in order, or None. `keep` is
    what its owner asks summaries to keep. The running totals spare every reader a count over the turns;
    `check_invariants` recomputes them.
    """

    class Mode(models.TextChoices):
        AUTO = "auto", _("automatically")
        ASK = "ask", _("ask me")
        NEVER = "never", _("never")

    class Strategy(models.TextChoices):
        SUMMARY = "summary", _("Summarise older parts")
        SLIDING_WINDOW = "sliding_window", _("Leave older parts out")
        PROVIDER = "provider", _("The provider's own compaction")

    GOING = datetime(1970, 1, 1, tzinfo=UTC)
    """`deleted_at` of one whose rows are being removed (store.purging). Before every other: whatever the settings say,
    its time to be brought back is over, and it is the first to go on with."""

    CHOOSABLE = (Strategy.SUMMARY, Strategy.SLIDING_WINDOW)
    """The strategies that its owner may choose."""

    class TitledBy(models.TextChoices):
        CODE = "code", _("the first words")
        MODEL = "model", _("the model")
        USER = "user", _("its owner")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="chat_sessions")
    title = models.CharField(max_length=200, blank=True)
    instructions = models.ForeignKey(Instructions, models.PROTECT, related_name="sessions")
    model = models.CharField(max_length=100)
    mode = models.CharField(max_length=8, choices=Mode, default=Mode.AUTO)
    strategy = models.CharField(max_length=16, choices=Strategy, default=Strategy.SUMMARY)
    window_messages = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Messages sent word for word at most; empty: as the strategy says.")
    )
    # Without the check of a positive field: PostgreSQL would read the whole table, under its strictest lock, to add it.
    soft_mark = models.SmallIntegerField(
        null=True, blank=True, help_text="Percent of the room from which it is compressed."
    )
    hard_mark = models.SmallIntegerField(
        null=True, blank=True, help_text="Percent of the room from which a reply waits."
    )
    head = models.ForeignKey("chat.Turn", models.SET_NULL, null=True, blank=True, related_name="+")
    context_version = models.PositiveIntegerField(default=0)
    prefix_version = models.PositiveIntegerField(default=0)
    window_from = models.PositiveIntegerField(default=1)
    restored = models.JSONField(null=True, blank=True)
    keep = models.CharField(max_length=500, blank=True, default="", db_default="")

    turns_active = models.PositiveIntegerField(default=0, help_text="Number of the head: turns on the active path.")
    turns_total = models.PositiveIntegerField(default=0, help_text="Turns ever, siblings included.")
    open_tokens = models.PositiveBigIntegerField(default=0, help_text="Tokens of finished turns no summary covers.")
    input_tokens = models.PositiveBigIntegerField(default=0, help_text="Input of replies as the API counted it.")
    output_tokens = models.PositiveBigIntegerField(default=0, help_text="Output of replies as the API counted it.")
    compactions = models.PositiveIntegerField(default=0, help_text="Compactions committed, ever.")
    trims = models.PositiveIntegerField(default=0, help_text="Trims forced, ever.")
    marked = models.PositiveIntegerField(default=0, help_text="Active turns that are pinned or excluded.")

    seen = models.PositiveIntegerField(default=0, help_text="Number of the last turn the owner has seen finished.")
    pinned = models.BooleanField(default=False)
    titled_by = models.CharField(max_length=8, choices=TitledBy, blank=True, default="", db_default="")
    thinking = models.BooleanField(default=False, db_default=False, help_text="Extended thinking is asked for.")
    temporary = models.BooleanField(default=False, db_default=False, help_text="Never listed or found; deleted soon.")
    forked_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="forks")
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    imported_at = models.DateTimeField(null=True, blank=True)

    attached_tokens = 0
    """Tokens of its documents, where the query asked for them (store.branches.locked_of). Not a column."""

    objects = ChatSessionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                F("owner"), F("pinned").desc(), F("updated_at").desc(), F("id").desc(), name="chat_session_list"
            ),
            models.Index(F("open_tokens").desc(), name="chat_session_fullest", condition=Q(deleted_at__isnull=True)),
            models.Index(fields=["deleted_at"], name="chat_session_deleted", condition=Q(deleted_at__isnull=False)),
            models.Index(fields=["updated_at"], name="chat_session_temporary", condition=Q(temporary=True)),
        ]

    def __str__(self) -> str:
        return f"session {self.id}"


class TurnQuerySet(models.QuerySet):
    """The active path and its parts."""

    def path(self, session_id) -> "TurnQuerySet":
        """The active path of a session, in order."""
        return self.filter(session_id=session_id, active=True).order_by("number")

    def finished(self) -> "TurnQuerySet":
        """Turns in a terminal state."""
        return self.filter(status__in=Turn.TERMINAL)

    def live(self) -> "TurnQuerySet":
        """Turns that are waiting for a runner or being answered: few, and found by an index of their own."""
        return self.filter(one_of("status", *Turn.LIVE))

    def live_in(self, session_id) -> "TurnQuerySet":
        """The live turn of a session, if it has one. It is always the head, and is looked for there: SQLite may choose
        the index of the path instead, and read every turn of the session."""
        return self.live().filter(pk__in=ChatSession.objects.filter(pk=session_id).values("head_id"))


class Turn(models.Model):
    """One user prompt with its reply.

    `tokens_upto` = the parent's + own, so that any range of an active path costs one subtraction.
    `digest` is the SHA-256 of prompt, steps and reply, set at close: what a summary was made from can be checked.
    `pinned_since` is the context version at which the turn was pinned.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        COMPLETE = "complete", _("complete")
        TRUNCATED = "truncated", _("cut off")
        REFUSED = "refused", _("refused")
        STOPPED = "stopped", _("stopped")
        FAILED = "failed", _("failed")

    class Kind(models.TextChoices):
        MESSAGE = "message"
        CONTINUE = "continue"

    class Source(models.TextChoices):
        API = "api"
        ESTIMATED = "estimated"

    LIVE = (Status.QUEUED, Status.RUNNING)
    TERMINAL = (Status.COMPLETE, Status.TRUNCATED, Status.REFUSED, Status.STOPPED, Status.FAILED)

    session = models.ForeignKey(ChatSession, models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    active = models.BooleanField(default=True)
    leaf = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.MESSAGE)
    client_id = models.UUIDField(default=uuid.uuid4)

    prompt = models.TextField()
    reply = models.TextField(blank=True)
    reply_html = models.TextField(blank=True)
    html_version = models.PositiveSmallIntegerField(default=0)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    error = models.CharField(max_length=40, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    epoch = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)

    stop_reason = models.CharField(max_length=40, blank=True)
    usage = models.JSONField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    prompt_source = models.CharField(max_length=10, choices=Source, default=Source.ESTIMATED)
    reply_tokens = models.PositiveIntegerField(default=0)
    reply_source = models.CharField(max_length=10, choices=Source, default=Source.ESTIMATED)
    step_count = models.PositiveSmallIntegerField(default=0)
    tokens_upto = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)

    # What was set aside in the owner's Allowance of that day, until the turn ends. None: nothing. Without the check
    # of a PositiveIntegerField: PostgreSQL would read the whole table, under its strictest lock, to add that.
    reserved_on = models.DateField(null=True, blank=True)
    reserved = models.IntegerField(null=True, blank=True, help_text="Tokens.")
    reserved_cost = models.BigIntegerField(null=True, blank=True, help_text="Millionths of a US dollar.")

    pinned_since = models.PositiveIntegerField(null=True, blank=True)
    excluded_by = models.CharField(max_length=10, blank=True)
    redacted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = TurnQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(F("session"), F("active"), F("number").desc(), name="chat_turn_path"),
            models.Index(
                fields=["session", "number"],
                name="chat_turn_marked",
                condition=Q(active=True) & (Q(pinned_since__isnull=False) | ~Q(excluded_by="")),
            ),
            models.Index(
                fields=["status", "created_at"], name="chat_turn_live", condition=Q(status__in=["queued", "running"])
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["session", "number"], name="one_active_turn", condition=Q(active=True)),
            models.UniqueConstraint(
                fields=["session"], name="one_live_turn", condition=Q(status__in=["queued", "running"])
            ),
            models.UniqueConstraint(fields=["session", "client_id"], name="one_turn_a_client_id"),
            models.CheckConstraint(
                name="first_turn_has_no_parent",
                condition=Q(number=1, parent__isnull=True) | Q(number__gt=1, parent__isnull=False),
            ),
            models.CheckConstraint(
                name="live_turn_is_active", condition=~Q(status__in=["queued", "running"]) | Q(active=True)
            ),
            models.CheckConstraint(
                name="complete_turn_is_whole",
                condition=~Q(status="complete")
                | (~Q(stop_reason="") & Q(closed_at__isnull=False) & Q(usage__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.session_id}"

    @property
    def tokens(self) -> int:
        """Tokens of prompt and reply."""
        return self.prompt_tokens + self.reply_tokens

    @property
    def is_live(self) -> bool:
        """Whether a runner has still to finish it."""
        return self.status in self.LIVE


class Step(models.Model):
    """A piece of a reply that is not its text: a tool call, its result, thinking."""

    turn = models.ForeignKey(Turn, models.CASCADE, related_name="steps")
    index = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12)
    call_id = models.CharField(max_length=100, blank=True)
    name = models.CharField(max_length=100, blank=True)
    body = models.TextField(blank=True)
    tokens = models.PositiveIntegerField(default=0)
    is_error = models.BooleanField(default=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["turn", "index"], name="one_step_an_index")]

    def __str__(self) -> str:
        return f"step {self.index} of turn {self.turn_id}"


class Thought(models.Model):
    """What a model wrote while it thought, to be read by people. Never sent again: it stays out of every request.

    `seconds` passed before the reply began; 0 where nobody knows.
    """

    turn = models.OneToOneField(Turn, models.CASCADE, primary_key=True, related_name="thought")
    text = models.TextField()
    tokens = models.PositiveIntegerField(default=0)
    seconds = models.PositiveIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"thought of turn {self.turn_id}"


class Manifest(models.Model):
    """What one request was made of, by reference: runs of turns, parts, the budget report. No text.

    `ranges`: [[first, last, how, by, tokens]], tiling 1..number. `parts`: [[role, component, ref, tokens, cache,
    check, recipe]], the recipe only where it is not the usual one (see `context.recipes`; of layout 1 the first
    five). `frame`: what stood in the body beside them, numbers and switches (layout 1: None). `budget`:
    [[component, budget, used, before]]. `estimated` and `measured` in tokens of input.
    """

    LAYOUT = 2

    turn = models.OneToOneField(Turn, models.CASCADE, primary_key=True, related_name="manifest")
    context_version = models.PositiveIntegerField()
    model = models.CharField(max_length=100)
    window = models.PositiveIntegerField()
    window_from = models.PositiveIntegerField()
    ranges = models.JSONField()
    parts = models.JSONField()
    budget = models.JSONField()
    rung = models.CharField(max_length=20, blank=True)
    estimated = models.PositiveIntegerField()
    measured = models.PositiveIntegerField(null=True, blank=True)
    frame = models.JSONField(null=True, blank=True)
    body_sha256 = models.CharField(max_length=64)
    # The release before writes none.
    layout = models.PositiveSmallIntegerField(default=1)

    def __str__(self) -> str:
        return f"manifest of turn {self.turn_id}"
