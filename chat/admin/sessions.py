"""The list of conversations, and everything that begins on a conversation's page."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.admin import bars, bulk, desk, fates, finding, gauges, operations, overview, revealing, troubles
from chat.admin.gauges import Gauge
from chat.models import ChatSession, Turn

COLUMNS = (
    "id", "owner__id", "owner__username", "strategy", "mode", "model", "turns_active", "compactions", "updated_at",
    "archived_at", "deleted_at", "head__id", "head__status", "soft_mark", "hard_mark",
)  # fmt: skip


class ByFullness:
    """Sessions by utilisation, those without any last: what a paginator takes its pages from."""

    ordered = True

    def __init__(self, sessions: QuerySet[ChatSession], *, fullest: bool):
        self.sessions, self.fullest = sessions, fullest

    def count(self) -> int:
        """How many there are."""
        return self.sessions.count()

    def __getitem__(self, page: slice) -> list[ChatSession]:
        known = gauges.in_order(self.sessions, fullest=self.fullest)
        ids = list(known[page])
        if len(ids) < page.stop - page.start:
            before = known.count()
            ids += gauges.without(self.sessions)[max(0, page.start - before) : page.stop - before]
        return [ChatSession(pk=pk) for pk in ids]


class Sessions(ChangeList):
    """A page of the list. What stands in its rows is fetched for the page, not for the table: sorting a hundred
    thousand rows with their users and turns beside them takes seconds, sorting their ids does not."""

    def get_results(self, request: HttpRequest) -> None:
        """The page by its ids, then its rows, gauges and troubles: six statements more, however long it is."""
        super().get_results(request)
        ids = [one.pk for one in self.result_list]
        rows = ChatSession.objects.select_related("owner", "head").only(*COLUMNS).in_bulk(ids)
        known, wrong = gauges.of(ids), troubles.words(ids)
        self.result_list = [rows[pk] for pk in ids if pk in rows]
        for one in self.result_list:
            one.gauge, one.wrong = known.get(one.pk, Gauge()), wrong.get(one.pk, [])


@admin.register(ChatSession)
class ChatSessionAdmin(admin.ModelAdmin):
    """Numbers and codes. No title, no word: what a user wrote is on no list."""

    list_display = ("short_id", "user", "fullness", "tokens", "state", "way", "turns", "compactions", "activity")
    list_display_links = ("short_id",)
    list_filter = (finding.Utilisation, finding.Trouble, finding.Standing, finding.Marks, "strategy", "mode")
    search_fields = ("id",)
    search_help_text = "Id or its first digits, user's name, e-mail address or number"
    list_per_page = 50
    list_max_show_all = 500
    show_full_result_count = False
    ordering = ("-updated_at",)
    change_list_template = "admin/chat/sessions.html"

    # --- who may ------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ChatSession | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ChatSession | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in desk.asked_by(self.list_filter)

    # --- the list -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChatSession]:
        """Ids alone; with how full each is where somebody sorts by it."""
        rows = super().get_queryset(request).only("id")
        return rows.annotate(share=gauges.share()) if self._sorted_by_fullness(request)[0] else rows

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Paginator:
        """By utilisation: pages that sort nothing."""
        _, first = self._sorted_by_fullness(request)
        if first:
            queryset = ByFullness(queryset, fullest=first.startswith("-"))
        return super().get_paginator(request, queryset, *args, **kwargs)

    def _sorted_by_fullness(self, request: HttpRequest) -> tuple[bool, str]:
        """Whether the list is sorted by utilisation at all; and the address's word where that is the first column."""
        # Whoever may do nothing to many has no column of boxes before the others.
        column = str(self.list_display.index("fullness") + bool(self.get_actions(request)))
        words = request.GET.get("o", "").split(".")
        return any(word.lstrip("-") == column for word in words), words[0] if words[0].lstrip("-") == column else ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ChatSession], search_term: str
    ) -> tuple[QuerySet[ChatSession], bool]:
        return (finding.search(queryset, search_term) if search_term.strip() else queryset), False

    def get_changelist(self, request: HttpRequest, **_kwargs: Any) -> type[ChangeList]:
        return Sessions

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., HttpResponse | None], str, str]]:
        """The operations that this person may do to many."""
        return bulk.actions(request.user)

    def response_action(self, request: HttpRequest, queryset: QuerySet[ChatSession]) -> HttpResponse | None:
        """Django's own, with a list that was fetched already."""
        return super().response_action(request, queryset.order_by())

    @admin.display(description="session", ordering="id")
    def short_id(self, session: ChatSession) -> SafeString:
        return format_html('<span class="mono" title="{}">{}</span>', session.pk, bars.short(session.pk))

    @admin.display(description="user", ordering="owner__username")
    def user(self, session: ChatSession) -> str:
        return f"{session.owner.get_username()} (u-{session.owner_id})"

    @admin.display(description="utilisation", ordering="share")
    def fullness(self, session: Any) -> SafeString:
        return bars.fullness(session.gauge.utilisation)

    @admin.display(description="tokens of window")
    def tokens(self, session: Any) -> str:
        gauge = session.gauge
        return f"{bars.tokens(gauge.tokens)} of {bars.tokens(gauge.window)}" if gauge.window else bars.NONE

    @admin.display(description="state")
    def state(self, session: Any) -> SafeString | str:
        if session.wrong:
            return format_html('<span class="wrong">✕ {}</span>', ", ".join(session.wrong))
        return standing(session)

    @admin.display(description="strategy", ordering="strategy")
    def way(self, session: ChatSession) -> str:
        own = [mark for mark in (session.soft_mark, session.hard_mark) if mark is not None]
        return f"{session.get_strategy_display()}{f', marks {overview.marks(session)}' if own else ''}"

    @admin.display(description="turns", ordering="turns_active")
    def turns(self, session: ChatSession) -> str:
        return f"{session.turns_active:,}"

    @admin.display(description="last activity", ordering="updated_at")
    def activity(self, session: ChatSession) -> SafeString:
        at = session.updated_at
        return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), at, bars.ago(at))

    # --- a conversation -----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The pages of a conversation, before Django's own."""

        def own(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"chat_chatsession_{name}")

        return [
            own("bulk/<slug:name>/", bulk.page, "bulk"),
            own("<uuid:session_id>/turns/", overview.turns, "turns"),
            own("<uuid:session_id>/turn/<int:number>/", fates.page, "turn"),
            own("<uuid:session_id>/fate/", fates.find, "fate"),
            own("<uuid:session_id>/reveal/", revealing.page, "reveal"),
            own("<uuid:session_id>/operate/<slug:name>/", operations.page, "operate"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The conversation's page instead of a form: nothing of it is edited by hand."""
        return overview.page(request, object_id)


def standing(session: ChatSession) -> str:
    """What a conversation is doing, in a word."""
    if session.deleted_at:
        return "being removed" if session.deleted_at == ChatSession.GOING else "deleted, can be undone"
    if session.head is not None and session.head.status in Turn.LIVE:
        return "a turn is live"
    return "archived" if session.archived_at else "idle"


def address(session_id: UUID) -> str:
    """Where a conversation's page is."""
    return reverse("admin:chat_chatsession_change", args=[session_id])
