"""The table of features names tests that exist, and leaves no feature without a word on how it is shown."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARITY = (ROOT / "docs" / "parity.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
ROWS = [line for line in PARITY.splitlines() if line.startswith("|") and not line.startswith(("| feature ", "|---"))]


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's tests as pytest gives them, without what stands in brackets."""
    if not (ROOT / path).is_file():
        return frozenset()
    names: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        names |= {prefix + one.name for one in inner if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(name for name in names if name.split("::")[-1].startswith("test_"))


def test_every_test_that_the_table_of_features_names_exists():
    named = TEST.findall(PARITY)
    assert len(named) == PARITY.count("::") - sum(name.count("::") for _, name in named), "one is written otherwise"
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []


def test_every_feature_names_a_test_or_says_that_there_is_none():
    assert len(ROWS) > 80
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3, row
        assert TEST.search(cells[2]) or cells[2].startswith(("Not yet: ", "A later issue")), row
