"""The measured figure of each row: printed, and appended to the file that docs/reliability.md's table is made from."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

REPORT = "CHAT_FAULT_REPORT"


def measured(row: str, what: str, figure: float | str, unit: str = "") -> None:
    """Print `F05 | what | figure unit` and keep it in the file that CHAT_FAULT_REPORT names, if any."""
    shown = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
    print(f"{row} | {what} | {shown} {unit}".rstrip(), flush=True)
    if path := os.environ.get(REPORT):
        with open(path, "a") as report:
            report.write(json.dumps({"row": row, "what": what, "figure": f"{shown} {unit}".rstrip()}) + "\n")


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


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    assert ordered, "nothing was measured"
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


if __name__ == "__main__":
    print(table(Path(os.environ[REPORT]).read_text().splitlines()))
