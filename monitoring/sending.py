"""What all pages of monitoring share: the context of the frame, and how a CSV is sent."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from monitoring import filters, over, series
from monitoring.filters import Filter


def common(request: HttpRequest, chosen: Filter | None = None) -> dict[str, Any]:
    """What the frame needs; with a filter, also what it can be changed to."""
    found = {"standin": getattr(settings, "CHAT_STANDIN", False), "watch": series.WATCH, "alert": series.ALERT}
    if chosen is None:
        return found
    return found | {
        "chosen": chosen,
        "spans": list(filters.SPANS.values()),
        "choices": over.choices(),
        "kept": f"?{urlencode(chosen.query)}" if chosen.query else "",
    }


def csv_of(name: str, header: list[str], lines: Iterable[list[Any]]) -> HttpResponse:
    """A CSV file of plain values. Nothing in a line can begin a formula: codes start with a letter or a digit."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(lines)
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
