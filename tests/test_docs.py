"""What the documents say is true of the code."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from chat.context import budget, compaction
from tests import law

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
README = (ROOT / "README.md").read_text()
OURS = re.compile(r"(CHAT|MONITORING)_[A-Z_]+")


def environment_reads() -> dict[str, ast.expr | None]:
    """Every name that the settings read from the environment, with its default as written."""
    reads: dict[str, ast.expr | None] = {}
    for node in ast.walk(ast.parse((ROOT / "ctxsite" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and re.fullmatch(r"env\.\w+", ast.unparse(node.func)):
            assert isinstance(node.args[0], ast.Constant)
            default = next((keyword.value for keyword in node.keywords if keyword.arg == "default"), None)
            reads[str(node.args[0].value)] = default
    return reads


def documented() -> dict[str, str]:
    """Every name with a row of its own in docs/configuration.md, with the cell of its default."""
    rows = {}
    for line in filter(lambda line: line.startswith("|"), CONFIGURATION.splitlines()):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        for name in re.findall(r"`([A-Z][A-Z_]+)`", cells[0]):
            rows[name] = cells[1]
    return rows


def test_every_setting_is_documented_and_every_documented_setting_exists():
    assert set(environment_reads()) == set(documented())


def test_a_setting_of_ours_has_the_name_of_its_variable():
    for name in filter(OURS.fullmatch, environment_reads()):
        assert hasattr(settings, name), name


# Used where it is read, or by the benchmarks.
NOT_ELSEWHERE = {"CHAT_BENCH_DATA", "CHAT_DATABASE_POOL", "CHAT_LOG_LEVEL", "CHAT_SECURE_COOKIES", "CHAT_TRUST_PROXY"}
NOT_ELSEWHERE |= {"CHAT_VAR_DIR", "CHAT_STATIC_DIR", "CHAT_EMAIL_FROM", "CHAT_EMAIL_URL"}


def test_no_setting_of_ours_is_read_and_then_forgotten():
    used = "".join(source for module, source in law.sources().items() if module != "ctxsite.settings")
    ours = set(filter(OURS.fullmatch, environment_reads())) - NOT_ELSEWHERE
    assert [name for name in sorted(ours) if not re.search(rf"settings\.{name}\b", used)] == []


def plain_defaults() -> dict[str, str]:
    """The defaults that are plain values, as one would type them. Texts too long for a table are left out."""
    plain = {}
    for name, default in environment_reads().items():
        if isinstance(default, ast.Constant) and default.value not in (None, ""):
            value = str(default.value)
            if len(value) < 80:
                plain[name] = value.lower() if isinstance(default.value, bool) else value
    return plain


@pytest.mark.parametrize(("name", "value"), plain_defaults().items())
def test_the_documented_default_is_the_one_in_the_settings(name, value):
    assert f"`{value}`" in documented()[name]


def test_the_marks_in_the_document_are_the_ones_in_force():
    policy = compaction.Policy()
    for window in (8_000, 200_000, 1_000_000):
        room = budget.split(window).room(0)
        marks = [int(room * share) for share in (policy.soft, policy.high, policy.hard)]
        row = " | ".join(f"{figure:,}" for figure in (window, room, *marks))
        assert f"| {row} |" in CONFIGURATION


def test_the_example_of_a_budget_can_be_set():
    example = re.search(r"`(total=[^`]+)`", CONFIGURATION)
    assert example
    preset = budget.parse(example[1])
    assert preset
    assert sum(value for key, value in preset.items() if key != "total") == preset["total"]
    assert budget.split(150_000, preset=preset).history == 60_000


def test_the_architecture_names_files_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`?((?:chat|monitoring|ctxsite|templates|static|tests|docs)/[\w./-]+\.\w+)`?", text))
    assert len(named) >= 8, "the pipeline names the file of each step"
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_shows_the_two_commands_and_its_links_lead_somewhere():
    assert "make run" in README
    assert "make test" in README
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_no_document_names_a_path_of_somebodys_machine():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"(^|[\s`(])/(root|home|work|Users)/", path.read_text()), path.name


def test_chart_js_is_where_the_pages_expect_it():
    assert finders.find("vendor/chart/chart.js")


def test_htmx_2_is_where_the_pages_expect_it():
    assert finders.find("django_htmx/htmx-2.min.js")
