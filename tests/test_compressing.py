"""ctxsite.compressing: what leaves compressed, and that its length tells nothing."""

import gzip

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from ctxsite.compressing import CompressingMiddleware

WORDS = b"<p>The pump held its pressure.</p>" * 40


def answer(kind: str, accepts: str = "gzip, br") -> HttpResponse:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(WORDS, content_type=kind)

    return CompressingMiddleware(view)(RequestFactory().get("/", HTTP_ACCEPT_ENCODING=accepts))


def test_a_page_is_a_tenth_on_the_wire_and_the_same_when_it_is_read():
    told = answer("text/html; charset=utf-8")
    assert told["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in told["Vary"]
    assert len(told.content) < len(WORDS) / 5
    assert gzip.decompress(told.content) == WORDS


def test_the_same_page_has_another_length_each_time():
    assert len({len(answer("text/html").content) for _ in range(20)}) > 5


def test_an_archive_is_left_alone_and_so_is_who_does_not_ask():
    assert answer("application/zip").content == WORDS
    assert answer("text/html", accepts="").content == WORDS


def test_what_is_streamed_is_not_cut_into_parts_of_which_a_browser_reads_the_first():
    def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse([WORDS, WORDS], content_type="application/json")

    told = CompressingMiddleware(view)(RequestFactory().get("/", HTTP_ACCEPT_ENCODING="gzip"))
    assert (told.get("Content-Encoding"), b"".join(told.streaming_content)) == (None, WORDS * 2)


def test_static_files_never_come_here():
    order = settings.MIDDLEWARE
    static = order.index("servestatic.middleware.ServeStaticMiddleware")
    assert static < order.index("ctxsite.compressing.CompressingMiddleware")
