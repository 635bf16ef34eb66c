"""Puts the figures of a run into docs/reliability.md. `python -m tests.faults.harness.report docs/reliability.md`

They are read from the file that CHAT_FAULT_REPORT names; `make soak` and the fault tests append to it.
"""

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.faults.harness.measured import REPORT


def table(lines: Iterable[str]) -> str:
    """The report's lines as the rows of a markdown table, by row number; of a repeated figure the last one counts."""
    found: dict[tuple[str, str], str] = {}
    for line in lines:
        entry = json.loads(line)
        found[_numbered(entry["row"]), entry["what"]] = entry["figure"]
    rows = sorted(found.items(), key=lambda item: (not item[0][0].startswith("F"), item[0][0]))
    return "\n".join(f"| {row} | {what} | {figure} |" for (row, what), figure in rows)


def _numbered(row: str) -> str:
    """F5 as F05, so that rows stand in their order."""
    return re.sub(r"^([FA])(\d)(?!\d)", r"\g<1>0\2", row)


def paste(document: Path, lines: list[str]) -> None:
    """Put the table's rows where the document has its marks; rows of "soak" go to their own place."""
    text = document.read_text()
    soak = [line for line in lines if json.loads(line)["row"] == "soak"]
    faults = [line for line in lines if json.loads(line)["row"] not in ("soak", "harness")]
    if faults:
        text = _between(text, "rows", table(faults))
    if soak:
        rows = "\n".join(f"| {entry['what']} | {entry['figure']} |" for entry in map(json.loads, soak))
        text = _between(text, "soak rows", rows)
    document.write_text(text)


def _between(text: str, name: str, rows: str) -> str:
    """What stands between the head of a table and its end mark is replaced by `rows`."""
    head, rest = text.split(f"<!-- {name}", 1)
    _, tail = rest.split(f"<!-- end of {name} -->", 1)
    mark, title, line = rest.split("\n")[:3]
    return f"{head}<!-- {name}{mark}\n{title}\n{line}\n{rows}\n<!-- end of {name} -->{tail}"


if __name__ == "__main__":
    paste(Path(sys.argv[1]), Path(os.environ[REPORT]).read_text().splitlines())
