"""The measured figure of each row: printed, and appended to the file that docs/reliability.md's table is made from."""

import json
import os
from collections.abc import Iterable

REPORT = "CHAT_FAULT_REPORT"

SCHEDULING_S = 0.5
"""What a loaded machine of two cores may add to any bound of the outcome table, in seconds."""


def measured(row: str, what: str, figure: float | str, unit: str = "") -> None:
    """Print `F05 | what | figure unit` and keep it in the file that CHAT_FAULT_REPORT names, if any."""
    shown = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
    print(f"{row} | {what} | {shown} {unit}".rstrip(), flush=True)
    if path := os.environ.get(REPORT):
        with open(path, "a") as report:
            report.write(json.dumps({"row": row, "what": what, "figure": f"{shown} {unit}".rstrip()}) + "\n")


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    assert ordered, "nothing was measured"
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]
