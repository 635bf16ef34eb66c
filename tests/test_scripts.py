"""static/js: what holds of all modules together."""

import re
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "static" / "js"
MOVES = re.compile(r"scrollIntoView|scroll(?:To|By)\(|scroll(?:Top|Left)\s*[-+]?=[^=]")
# Lists of their own, which scroll by themselves.
OTHER_BOXES = {"commands.js": 1, "monitoring-live.js": 1, "rows.js": 1}


def test_the_transcript_is_moved_by_its_one_owner_only():
    found = {path.name: len(MOVES.findall(path.read_text())) for path in SCRIPTS.glob("*.js")}
    moving = {name: count for name, count in found.items() if count}
    assert moving.pop("scroll.js") == 1
    assert moving == OTHER_BOXES
