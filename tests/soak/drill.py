"""The drill of 847 full sessions on SQLite, then on PostgreSQL. `python -m tests.soak.drill [--sessions 847]`

Each on a fresh database of its own, by the commands that an operator would type. The exit code is 1 unless both drills
were clean.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from tests.bench.load import machine, site

KINDS = ("sqlite", "postgresql")


def drill(kind: str, sessions: int) -> bool:
    """Drill on one kind of database; whether it was clean. The drill prints its own report."""
    print(f"\n== drill of {sessions:,} sessions, {kind} ==", flush=True)
    clean = {name: value for name, value in os.environ.items() if name not in (*site.UNWANTED, "ANTHROPIC_BASE_URL")}
    with site.database(kind) as own:
        for words in (("migrate", "-v", "0"), ("drill", "--sessions", str(sessions))):
            command = [sys.executable, "manage.py", *words]
            if subprocess.run(command, cwd=machine.ROOT, env=clean | own, check=False).returncode:
                return False
    return True


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and drill. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.drill", description=__doc__)
    parser.add_argument("--sessions", type=int, default=847)
    options = parser.parse_args(words)
    failed = [kind for kind in KINDS if not drill(kind, options.sessions)]
    print("drill: " + (f"not clean on {', '.join(failed)}" if failed else "clean on both databases"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
