"""Files become text, or a refusal with a name; whatever a hostile one does, it does to a child that is let go."""

import time
import zlib

import pytest

from chat.documents import extraction, names
from chat.documents.extraction import extract
from chat.documents.limits import Limits
from chat.documents.refusals import CODES, Refused
from tests.documents.files import archive, bare_word, body, encrypted_pdf, pdf, word

LIMITS = Limits(characters=20_000, pages=40, memory=extraction.MEMORY, seconds=15.0)
UMLAUTS = "Größe: 5 µm, Preis 3 €, Übergabe am Mittwoch; Käse, Öl, süß und großartig für Jörg."


def refusal(name: str, data: bytes, limits: Limits = LIMITS) -> Refused:
    with pytest.raises(Refused) as refused:
        extract(name, data, limits)
    assert refused.value.code in CODES
    return refused.value


@pytest.mark.parametrize(
    ("name", "data", "kind", "text"),
    [
        ("notes.txt", b"Order A-7731\r\nis late.\r\n", "text", "Order A-7731\nis late."),
        ("readme.md", b"# Title\n\nText", "markdown", "# Title\n\nText"),
        ("orders.csv", "\ufeffnumber;state\nA-7731;läuft\n".encode(), "csv", "number;state\nA-7731;läuft"),
        ("bill.py", b"def split(bill):\n\treturn bill / 2\n", "code", "def split(bill):\n\treturn bill / 2"),
        ("wide.txt", "Ü 漢字 🙂".encode("utf-16"), "text", "Ü 漢字 🙂"),
        ("old.txt", UMLAUTS.encode("cp1252"), "text", UMLAUTS),
        ("page.svg", b"<svg onload='alert(1)'/>", "code", "<svg onload='alert(1)'/>"),
        ("letter.pdf", pdf("Order A-7731 is late.", "Second page, too."), "pdf",
         "[page 1]\nOrder A-7731 is late.\n\n[page 2]\nSecond page, too."),
        ("printable.pdf", encrypted_pdf("", "Order A-7731 is late."), "pdf", "[page 1]\nOrder A-7731 is late."),
        ("a.docx", word([("Heading 1", "Plan"), ("", "First."), ("List Bullet", "Milk")], [["No", "It"], ["7", "ok"]]),
         "docx", "# Plan\n\nFirst.\n- Milk\n\n| No | It |\n| 7 | ok |"),
        ("a.pdf", b"Only its name says that it is one.", "text", "Only its name says that it is one."),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 16 else "",
)  # fmt: skip
def test_a_file_is_what_its_bytes_say(name: str, data: bytes, kind: str, text: str) -> None:
    made = extract(name, data, LIMITS)
    assert (made.kind, made.text, made.name, made.size) == (kind, text, name, len(data))


EXTERNAL = b'<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LAUGHS = b'<!DOCTYPE w [<!ENTITY a "ha ha ha ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("code", "name", "data"),
    [
        ("encrypted", "a.pdf", encrypted_pdf("secret", "Order A-7731.")),
        ("encrypted", "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
        ("no_text", "scan.pdf", pdf("", "", "")),
        ("no_text", "empty.txt", b" \n"),
        ("no_text", "empty.docx", word()),
        ("unknown_type", "old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
        ("unknown_type", "cat.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200)),
        ("unknown_type", "a.md", b"\x7fELF\x02\x01\x01" + bytes(200)),
        ("unknown_type", "sheet.docx", archive({"xl/workbook.xml": b"<a/>"})),
        ("unknown_type", "a.rtf", b"{\\rtf1 text}"),
        ("unknown_type", "noise.txt", bytes(range(1, 32)) * 40),
        ("broken", "a.pdf", b"%PDF-1.7\n" + b"garbage " * 40),
        ("broken", "a.docx", word([("", "Text")])[:-200]),
        ("broken", "xxe.docx", bare_word(body(b"&x;", EXTERNAL))),
        ("broken", "laughs.docx", bare_word(body(b"&c;", LAUGHS))),
        ("broken", "wide.docx", bare_word(body(b"&x;", EXTERNAL).decode().encode("utf-16"))),
        ("broken", "aside.docx", bare_word(body(b"Text"), **{"word/x.xml": EXTERNAL + b"<a/>"})),
        ("too_complex", "bomb.docx", bare_word(body(b"a" * 60_000_000))),
        ("too_complex", "stuffed.docx", bare_word(body(b"Text"), **{"word/media/a.bin": bytes(300_000_000)})),
        ("too_long", "long.txt", b"word " * 4_001),
        ("too_many", "book.pdf", pdf(*["Text on a page."] * 41)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_taken_is_refused_by_name(code: str, name: str, data: bytes) -> None:
    assert refusal(name, data).code == code


def test_a_file_over_the_limit_is_refused_with_both_figures_before_it_is_looked_at(settings) -> None:
    settings.CHAT_MAX_UPLOAD_BYTES = 1_000
    refused = refusal("a.txt", b"x" * 1_001)
    assert (refused.code, refused.figures) == ("too_large", {"size": 1_001, "limit": 1_000})
    assert refusal("book.pdf", pdf("a", "b"), Limits(characters=9, pages=1, memory=2**30, seconds=9)).figures == {
        "pages": 2, "limit": 1,
    }  # fmt: skip


def test_a_reader_that_never_ends_is_ended_and_one_that_takes_all_memory_gets_none(monkeypatch) -> None:
    endless = "import sys; sys.stdin.buffer.read(); exec('while True: pass')"
    monkeypatch.setattr(extraction, "_PROGRAM", endless)
    begun = time.process_time()
    assert refusal("a.txt", b"Text", Limits(characters=9, pages=9, memory=2**30, seconds=0.5)).code == "too_complex"
    assert time.process_time() - begun < 5
    greedy = (
        "import sys; sys.path.insert(0, sys.argv[1]); from chat.documents import child;"
        " child.main(lambda data, limits: 'x' * (2 << 30))"
    )
    monkeypatch.setattr(extraction, "_PROGRAM", greedy)
    assert refusal("a.txt", b"Text").code == "too_complex"


def test_a_page_that_unpacks_without_end_is_let_go() -> None:
    packed = zlib.compress(zlib.compress(bytes(120_000_000), 9), 9)
    made = pdf("Text on a page.")
    stream = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(packed), packed)
    start = made.index(b"4 0 obj\n") + 8
    bomb = made[:start] + stream + made[made.index(b"\nendobj", start) :]
    assert refusal("bomb.pdf", bomb).code in ("too_complex", "broken", "no_text")


def test_the_child_has_no_environment(monkeypatch) -> None:
    program = "import json, os, sys; sys.stdin.buffer.read(); print(json.dumps(dict(text=repr(sorted(os.environ)))))"
    monkeypatch.setattr(extraction, "_PROGRAM", program)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    assert "ANTHROPIC" not in extract("a.txt", b"Text", LIMITS).text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\plan.docx", "plan.docx"),
        ("a\0b\r\n<script>.txt", "ab <script>.txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\u200b..", "document"),
        ("", "document"),
        ("é" * 300 + ".pdf", "é" * 196 + ".pdf"),
        ("e\u0301tude.md", "étude.md"),
    ],
)
def test_a_name_is_a_label_and_never_a_path(given: str, kept: str) -> None:
    assert names.clean(given) == kept
