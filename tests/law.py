"""The import law of the house, read from the sources: who may import whom. See docs/architecture.md.

Sources go in by module name and sentences come out, so that a test can plant a breach and see it found.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A room imports from rooms with a lower number, and from itself; never from a peer.
FLOORS = {
    "context": 0,
    "stream": 1,
    "providers": 1,
    "models": 1,
    "store": 2,
    "documents": 3,
    "flow": 4,
    "surgery": 5,
    "service": 6,
    "web": 7,
    "admin": 8,
    "management": 8,
}
EXEMPT = {"chat.apps", "monitoring.apps"}  # Django loads them before models
MAY_RECORD = {"flow", "documents", "surgery", "service"}
MAY_COMPARE = {"management"}  # a command may hold what was recorded against what happened
# Standard library too, but a way to the outside or to the clock.
IMPURE = {"asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket", "subprocess"}
IMPURE |= {"threading", "time"}
MAY_SET_DJANGO_SETTINGS = {"manage", "ctxsite.asgi"}
HIDDEN_IMPORTS = {"import_module", "import_string", "__import__"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module. `hidden` is true inside a function."""

    name: str
    line: int
    hidden: bool


def sources(root: Path = ROOT) -> dict[str, str]:
    """Every module of ours that is not a test, by its dotted name."""
    files = [root / "manage.py"]
    for top in ("chat", "monitoring", "ctxsite"):
        files += sorted((root / top).rglob("*.py"))
    return {module_name(path.relative_to(root)): path.read_text() for path in files}


def module_name(path: Path) -> str:
    """`chat/flow/turns.py` -> `chat.flow.turns`; a package has its directory's name."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: str, tree: ast.AST, modules: Mapping[str, str]) -> Iterator[Import]:
    """Every module that `module` imports. A name imported from a package counts as the module, if it is one."""
    is_package = any(name.startswith(f"{module}.") for name in modules)

    def visit(node: ast.AST, hidden: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, hidden)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = inner in modules or base in ("chat", "monitoring")
                yield Import(inner if is_module else base, node.lineno, hidden)
        inside = hidden or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(tree, False)


def room(module: str) -> str:
    """The room of a module of chat: `chat.flow.turns` -> `flow`. Migrations belong to the models."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else ""
    return "models" if name == "migrations" else name


def inside(module: str, package: str) -> bool:
    """Whether `module` is `package` or in it."""
    return module == package or module.startswith(f"{package}.")


def reads_environment(module: str, tree: ast.AST) -> Iterator[int]:
    """Lines that reach for the environment, save the one default that Django's entry points set."""
    allowed: set[int] = set()
    for node in ast.walk(tree):
        if (
            module in MAY_SET_DJANGO_SETTINGS
            and isinstance(node, ast.Call)
            and ast.unparse(node.func) == "os.environ.setdefault"
            and ast.unparse(node.args[0]) == "'DJANGO_SETTINGS_MODULE'"
        ):
            allowed.add(node.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
            if ast.unparse(node.value) == "os" and node.lineno not in allowed:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in ("environ", "environb", "getenv"))


def names_a_setting(call: ast.Call) -> bool:
    """Whether what is imported by name stands in the settings, as Django's own backends do: the wiring chose it."""
    return ast.unparse(call.func) == "import_string" and ast.unparse(call.args[0]).startswith("settings.")


def judge(module: str, imported: Import) -> Iterator[str]:
    """What is wrong with one import."""
    name, top = imported.name, imported.name.partition(".")[0]
    if imported.hidden:
        yield f"imports {name} inside a function"
    if top == "tests":
        yield "imports from the tests"
    if top == "environ" and module != "ctxsite.settings":
        yield "reads the environment: only ctxsite/settings.py does"
    if top == "anthropic" and module != "chat.providers.anthropic":
        yield "imports anthropic: only chat/providers/anthropic.py does"
    if top == "ctxsite" and not inside(module, "ctxsite"):
        yield f"imports the wiring ({name})"
    if inside(module, "monitoring") and top == "chat":
        yield f"imports {name}: monitoring knows nothing of chat"
    if not inside(module, "chat"):
        return
    mine, theirs = room(module), room(name) if top == "chat" else ""
    if theirs and theirs in FLOORS and mine in FLOORS and theirs != mine and FLOORS[theirs] >= FLOORS[mine]:
        relation = "its peer" if FLOORS[theirs] == FLOORS[mine] else "above it"
        yield f"imports {name}: {theirs} is {relation}"
    if top == "monitoring" and mine in MAY_COMPARE:
        return
    if top == "monitoring" and (name != "monitoring.recording" or mine not in MAY_RECORD):
        yield f"imports {name}: only monitoring.recording, and only from {', '.join(sorted(MAY_RECORD))}"
    if mine == "context" and not inside(name, "chat.context"):
        if top not in sys.stdlib_module_names:
            yield f"imports {name}: the context knows the standard library only"
        elif top in IMPURE:
            yield f"imports {name}: the context does no I/O and has no clock"
    if inside(module, "chat.stream") and inside(name, "django.db"):
        yield f"imports {name}: the stream knows no database"


def breaches(module: str, source: str, modules: Mapping[str, str]) -> list[str]:
    """Every breach of the law by one module, as `module:line: sentence`."""
    found: list[str] = []
    tree = ast.parse(source)
    if inside(module, "chat") and module not in EXEMPT and module != "chat" and room(module) not in FLOORS:
        found.append(f"{module}:1: has no place in the house")
    if module != "ctxsite.settings":
        found += [f"{module}:{line}: reads the environment" for line in reads_environment(module, tree)]
    if not inside(module, "ctxsite"):
        found += [
            f"{module}:{node.lineno}: imports by name at run time"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in HIDDEN_IMPORTS
            and not names_a_setting(node)
        ]
    if module not in EXEMPT:
        for imported in imports(module, tree, modules):
            found += [f"{module}:{imported.line}: {sentence}" for sentence in judge(module, imported)]
    return found


def violations(modules: Mapping[str, str]) -> list[str]:
    """Every breach of the law in `modules`."""
    return [sentence for module, source in modules.items() for sentence in breaches(module, source, modules)]
