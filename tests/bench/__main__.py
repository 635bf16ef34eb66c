"""Run the benchmarks one after the other, each in a process of its own. `python -m tests.bench [NAME ...]`

A benchmark is a module `tests/bench/bench_*.py` that can be run and prints one labelled line a figure. Those that
take longer than a few minutes run only when they are named.
"""

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LONG = ("monitoring", "relay", "scale", "surgery")


def main() -> int:
    """Returns the exit code: 0 when every benchmark ran."""
    wanted = sys.argv[1:]
    names = [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]
    failed = []
    for name in names:
        if name not in wanted if wanted else name in LONG:
            continue
        print(f"\n== {name} ==", flush=True)
        started = time.monotonic()
        command = [sys.executable, "-m", f"tests.bench.bench_{name}"]
        done = subprocess.run(command, cwd=HERE.parent.parent, check=False)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
