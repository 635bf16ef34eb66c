"""The stand-in stands alone, and runs alone."""

import ast
import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import chat.providers.standin as package

FOLDER = Path(package.__file__).parent
ROOT = FOLDER.parents[2]


def imported(path: Path) -> set[str]:
    """The modules that a file imports absolutely, or relatively from above its own folder."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "" if node.level == 0 else "." * node.level)
    return found


class TestIsolation:
    def test_no_module_imports_from_outside_the_package(self) -> None:
        for path in FOLDER.glob("*.py"):
            for name in imported(path):
                assert name == "." or name.split(".")[0] in {"aiohttp", *sys.stdlib_module_names}, (path.name, name)

    def test_importing_it_loads_nothing_of_the_rest(self) -> None:
        code = (
            "import sys, chat.providers.standin; print([m for m in sys.modules if m.split('.')[0] in "
            "('chat', 'monitoring', 'ctxsite', 'django', 'anthropic')])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        loaded = set(ast.literal_eval(done.stdout))
        assert {name for name in loaded if not name.startswith("chat.providers.standin")} == {"chat", "chat.providers"}

    async def test_it_runs_as_a_program_and_ends_on_sigterm(self) -> None:
        arguments = ("-m", "chat.providers.standin", "--window", "4000", "--model", "claude-of-tomorrow")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            line = (await process.stdout.readline()).decode()
            address = line.split(" on ")[1].split(",")[0]
            asked = urllib.request.Request(f"{address}/v1/models/claude-of-tomorrow", headers={"x-api-key": "k"})
            told = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(asked)))
            assert told["max_input_tokens"] == 4000
        finally:
            process.terminate()
            assert await process.wait() == 0
