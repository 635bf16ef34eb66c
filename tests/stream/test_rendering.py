"""Markdown becomes safe HTML, whole or block by block, and never holds up anybody for long."""

import gc
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.stream import rendering
from chat.stream.rendering import BLOCK_LIMIT, RENDERER_VERSION, finished_blocks, render, sanitise
from tests.hostile import STRINGS

EVENT_HANDLER = re.compile(r"on\w+|style|srcdoc|src|action|formaction|background|hx-.*|data-.*", re.IGNORECASE)
ADDRESS = re.compile(r"(https?://|mailto:)", re.IGNORECASE)


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile: that of a whole suite of tests takes longer than a rendering may."""
    gc.disable()
    yield
    gc.enable()


class Inspector(HTMLParser):
    """Collects what a browser would see: elements, attributes and text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.problems: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("script", "style", "img", "iframe", "object", "embed", "svg", "form", "input", "link", "base"):
            self.problems.append(f"<{tag}>")
        for name, value in attrs:
            if EVENT_HANDLER.fullmatch(name):
                self.problems.append(f"{tag} {name}")
            if name == "href" and not ADDRESS.match(value or ""):
                self.problems.append(f"href {value}")
            if name == "href" and ("rel", "noopener noreferrer nofollow") not in attrs:
                self.problems.append("a without rel")

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.problems.append("comment")


def inspect(html: str) -> Inspector:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    return inspector


def assert_safe(html: str) -> None:
    assert inspect(html).problems == [], html


class TestWhatAReaderSees:
    def test_a_table_is_aligned_by_classes(self):
        html = render("| a | b |\n|:-:|--:|\n| 1 | 2 |").html
        assert '<td class="center">1</td>' in html
        assert '<td class="right">2</td>' in html
        assert "style" not in html

    def test_code_is_coloured_by_classes_and_named(self):
        html = render("```python\ndef f(): return 1\n```").html
        assert "<figcaption>python</figcaption>" in html
        assert '<span class="k">def</span>' in html

    def test_code_of_an_unknown_language_is_shown_as_it_is(self):
        assert "<pre><code>a &lt; b\n</code></pre>" in render("```klingon\na < b\n```").html

    @pytest.mark.parametrize("source", ["$a^2$", "\\(a^2\\)", "$$\na^2\n$$", "\\[\na^2\n\\]", "so $$a^2$$ it is"])
    def test_a_formula_becomes_mathml(self, source):
        assert "<msup><mi>a</mi><mn>2</mn></msup>" in render(source).html

    @pytest.mark.parametrize("source", ["It costs $5, or $6.", "from $5 to $ 6", "US$5 and A$6", "\\$a\\$"])
    def test_a_price_is_no_formula(self, source):
        assert "<math" not in render(source).html

    def test_a_formula_that_cannot_be_read_is_shown_as_its_source(self):
        assert inspect(render("so $a_$ is").html).text == "so $a_$ is"

    def test_the_headings_of_a_reply_stand_below_the_title_of_the_page(self):
        assert inspect(render("# One\n\nTwo\n---\n\nThree\n===\n\n###### Six").html).tags == ["h2", "h3", "h2", "h6"]

    def test_a_written_address_becomes_a_link_without_the_full_stop(self):
        html = render("See https://example.com/a_b_c?x=1&y=2. (https://example.org/)").html
        assert 'href="https://example.com/a_b_c?x=1&amp;y=2"' in html
        assert 'href="https://example.org/"' in html
        assert inspect(html).text == "See https://example.com/a_b_c?x=1&y=2. (https://example.org/)"

    def test_an_address_with_parentheses_keeps_them(self):
        assert (
            'href="https://en.example.org/wiki/C_(language)"' in render("https://en.example.org/wiki/C_(language)").html
        )

    def test_an_image_is_its_address_as_text(self):
        html = render("![a chart](https://evil.example/p.png?q=secret)").html
        assert "a chart (https://evil.example/p.png?q=secret)" in inspect(html).text
        assert_safe(html)

    def test_a_task_list_shows_boxes_that_are_no_controls(self):
        text = inspect(render("- [x] done\n- [ ] open").html).text
        assert "☑ done" in text
        assert "☐ open" in text

    def test_raw_html_is_shown_as_text(self):
        html = render("a <b>bold</b> <!-- c --> <script>alert(1)</script>").html
        assert inspect(html).tags == ["p"]
        assert "<script>alert(1)</script>" in inspect(html).text

    def test_the_version_of_the_renderer_comes_with_the_html(self):
        assert render("a").version == RENDERER_VERSION

    def test_nothing_becomes_nothing(self):
        assert render("").html == ""
        assert render(" \n\n").html == ""


class TestHostileText:
    def test_the_corpus_is_large_enough_to_mean_something(self):
        assert len(set(STRINGS)) >= 300

    @pytest.mark.parametrize("attack", STRINGS, ids=range(len(STRINGS)))
    def test_an_attack_does_nothing_wherever_the_stream_is_cut(self, attack):
        """As a whole reply, between paragraphs, in a list, in a quote; every beginning of it, as the reply that was
        stopped there and as what has arrived so far; and the rest, as a reply that begins in the middle."""
        for text in (f"{attack}", f"- {attack}\n\nx\n", f"> {attack}\n\nx\n", f"**{attack}**", f"| {attack} |\n|-|\n"):
            assert_safe(render(text).html)
        data = f"Hello.\n\n{attack}\n\nBye.\n\n".encode()
        for cut in range(len(data) + 1):
            beginning = data[:cut].decode(errors="replace")
            for html in finished_blocks(beginning)[1]:
                assert_safe(html)
            assert_safe(render(beginning).html)
            assert_safe(render(data[cut:].decode(errors="replace")).html)

    @pytest.mark.parametrize("attack", STRINGS, ids=range(len(STRINGS)))
    def test_the_sanitiser_alone_is_enough(self, attack):
        assert_safe(sanitise(attack))

    @given(st.text(alphabet="<>/\"'`=[]()!&;:$\\|-#*_~ \n\tascriptonx0"))
    @settings(max_examples=150, deadline=None)
    def test_no_text_makes_an_unsafe_page(self, text):
        assert_safe(render(text).html)

    def test_hx_attributes_do_not_survive_the_sanitiser(self):
        assert sanitise('<p hx-get="/x" data-hx-get="/x" class="plain evil" style="color:red" id="x">a</p>') == (
            '<p class="plain">a</p>'
        )


BOMBS = {
    "quotes": ">" * 30_000,
    "brackets": "[" * 30_000,
    "images": "![" * 15_000,
    "emphasis": "*_`[<$" * 5_000,
    "backticks": "".join("`" * n + " " for n in range(1, 240)),
    "open links": "[a](" * 7_500,
    "closing parentheses": "http://a.bc/" + ")" * 30_000,
    "entities": "&#" * 15_000,
    "open formulas": "\\(" * 15_000,
    "many formulas": "$a_b$ " * 5_000,
    "deep formula": "$" + "{" * 1_999 + "$",
    "deep list": "\n".join("  " * n + "- a" for n in range(170)),
    "wide table": "|a" * 5_000 + "\n" + "|-" * 5_000 + "\n",
    "long table": "|a|b|\n|-|-|\n" + "|c|d|\n" * 100_000,
    "references": "".join(f"[a{n}]: http://x/{n}\n" for n in range(1_500)),
    "python": "```python\n" + '("' * 7_000,
    "html": "```html\n" + "<a " * 5_000,
    "kotlin": "```kotlin\n" + "a<" * 7_000,
}


class TestLimits:
    @pytest.mark.parametrize("name", BOMBS)
    def test_a_bomb_costs_little_and_loses_nothing(self, name):
        """CPU of this thread, not the clock on the wall: five times the limit, for slow machines."""
        text = BOMBS[name]
        began = time.thread_time()
        html = render(text).html
        finished_blocks(text + "\n\nx\n")
        assert time.thread_time() - began < 10 * rendering.CPU_LIMIT
        assert_safe(html)

    def test_a_block_over_the_limit_becomes_plain_text_and_its_neighbours_do_not(self):
        html = render("**a**\n\n" + "**b** " * (BLOCK_LIMIT // 6 + 1) + "\n\n**c**").html
        assert "<strong>a</strong>" in html
        assert "<strong>b</strong>" not in html
        assert '<p class="plain">**b** **b**' in html
        assert "<strong>c</strong>" in html

    def test_code_over_the_limit_is_not_coloured(self):
        html = render("```python\n" + "def f(): pass\n" * 1_500 + "```").html
        assert "<span" not in html
        assert html.count("def f(): pass") == 1_500

    def test_text_nested_too_deep_is_shown_plain_and_not_dropped(self):
        assert "the end" in inspect(render("> " * 200 + "the end").html).text

    def test_when_time_is_up_the_rest_is_plain_text_and_nothing_is_lost(self, monkeypatch):
        ticks = iter(range(10**9))
        monkeypatch.setattr(rendering.time, "thread_time", lambda: next(ticks) / 1000)
        words = [f"word{n}" for n in range(400)]
        html = render("\n\n".join(f"**{word}**" for word in words)).html
        assert 'class="plain"' in html
        assert re.findall(r"word\d+", html) == words

    @given(st.text(alphabet="ab >-*#|\n1."))
    @settings(max_examples=200, deadline=None)
    def test_no_letter_is_ever_lost(self, text):
        shown = inspect(render(text).html).text
        assert re.sub(r"[^ab]", "", shown) == re.sub(r"[^ab]", "", text)


PIECES = [
    "word", " ", "\n", "\n\n", "- item", "1. one", "> quote", "# ", "#tag", "```", "```py\n", "~~~", "| a | b |\n",
    "|--|--|\n",    "    code", "---", "===", "**b**", "$$", "\\[", "\\]", "[a]: /x", "\t", "  ", "\r\n",
]  # fmt: skip


class TestGrowingText:
    def test_all_but_the_last_block_are_finished(self):
        text = "one\n\n- two\n- three\n\nfour"
        end, blocks = finished_blocks(text)
        assert blocks == ["<p>one</p>"]
        assert text[end:] == "- two\n- three\n\nfour"
        end, blocks = finished_blocks(text + "\n")
        assert text[end:] == "four"
        assert blocks[1].startswith("<ul>")

    def test_a_half_line_finishes_nothing(self):
        """`#` alone is a heading, but `#tag` goes on with the quote."""
        assert finished_blocks("> quote\n#") == (0, [])
        assert finished_blocks("> quote\n# T\n")[0] == len("> quote\n")

    def test_an_open_fence_is_not_finished(self):
        text = "a\n\n```py\nx = 1\n\ny = 2\n\n"
        end, blocks = finished_blocks(text)
        assert blocks == ["<p>a</p>"]
        assert text[end:].startswith("```py")

    def test_an_open_formula_is_not_finished(self):
        assert finished_blocks("$$\na\n\nb\n\nc\n")[1] == []

    @given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
    @settings(max_examples=200, deadline=None)
    def test_a_finished_block_never_changes(self, text):
        before: list[str] = []
        for cut in range(len(text) + 1):
            end, blocks = finished_blocks(text[:cut])
            assert 0 <= end <= cut
            assert blocks[: len(before)] == before
            before = blocks

    @given(st.lists(st.sampled_from([p for p in PIECES if "[a]" not in p]), max_size=25).map("".join))
    @settings(max_examples=200, deadline=None)
    def test_finished_blocks_and_the_rest_make_the_whole(self, text):
        end, blocks = finished_blocks(text)
        rest = render(text[end:]).html
        assert "\n".join([*blocks, *([rest] if rest else [])]) == render(text).html

    @given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.lists(st.integers(1, 40), max_size=12))
    @settings(max_examples=200, deadline=None)
    def test_a_reply_whose_blocks_were_seen_becomes_what_it_would_have_become_unseen(self, text, steps):
        done: list[tuple[int, str]] = []
        committed = cut = 0
        for step in steps:
            cut = min(len(text), cut + step)
            used, blocks = finished_blocks(text[committed:cut])
            committed += used
            done += [(committed, html) for html in blocks]
        assert render(text, done) == render(text)

    def test_blocks_that_were_seen_are_not_rendered_again(self, monkeypatch):
        end, blocks = finished_blocks("one\n\ntwo\n")
        monkeypatch.setattr(rendering, "_render_block", lambda block, env: "anew")
        assert render("one\n\ntwo", [(end, html) for html in blocks]).html == "<p>one</p>\nanew"


def test_only_what_is_rendered_at_once_is_brief():
    assert rendering.is_brief("Plain words. " * 100)
    for long in ("Plain words. " * 200, "```py\nx = 1\n```\n", "[" * 50, "> " * 50, "- " * 50, "*a* " * 30):
        assert not rendering.is_brief(long), long[:10]
