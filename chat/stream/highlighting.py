"""Code with its colours: source text to escaped HTML with a span around what a reader tells apart.

The text comes from a model, so it is bounded: what is too long, too slow or of no known language comes back
escaped and uncoloured. Nothing here raises.
"""

import re
import time
from html import escape
from itertools import groupby

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

HIGHLIGHT_LIMIT = 16_000
"""Characters. A longer block stays uncoloured: highlighting 20,000 takes 0.19 s (PERFORMANCE.md)."""

# Only languages whose lexers are linear enough: a regular expression that backtracks holds the interpreter lock,
# and no deadline can stop it. Key: what a fence may say; value: the name that Pygments knows.
LANGUAGES = {
    "bash": "bash", "c": "c", "cpp": "cpp", "c++": "cpp", "csharp": "csharp", "cs": "csharp",
    "css": "css", "diff": "diff", "docker": "docker", "dockerfile": "docker", "go": "go",
    "graphql": "graphql", "html": "html", "java": "java", "javascript": "javascript", "js": "javascript",
    "jsx": "javascript", "json": "json", "kotlin": "kotlin", "lua": "lua", "make": "make",
    "makefile": "make", "nginx": "nginx", "php": "php", "python": "python", "py": "python",
    "python3": "python", "r": "r", "ruby": "ruby", "rb": "ruby", "rust": "rust", "rs": "rust",
    "scala": "scala", "sh": "bash", "shell": "bash", "sql": "sql", "swift": "swift", "toml": "toml",
    "typescript": "typescript", "ts": "typescript", "tsx": "typescript", "xml": "xml", "yaml": "yaml",
    "yml": "yaml", "zsh": "bash",
}  # fmt: skip

# The sheet has one rule for each class. The first entry that contains the token wins.
_COLOURS: tuple[tuple[_TokenType, str], ...] = (
    (Comment.Preproc, "k"),
    (Comment, "c"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Tag, "k"),
    (Name.Attribute, "f"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
    (Name.Builtin, "f"),
    (Number, "n"),
    (String, "s"),
    (Generic.Deleted, "d"),
    (Generic.Inserted, "a"),
    (Generic.Heading, "c"),
    (Generic.Subheading, "c"),
)

COLOUR_CLASSES = frozenset(name for _, name in _COLOURS)

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9+#._-]")


def language_of(info: str) -> str:
    """The name that a fence gives its language, fit to be shown; '' when it gives none. At most 24 characters."""
    words = info.split(maxsplit=1)
    return _NOT_IN_A_NAME.sub("", words[0])[:24] if words else ""


def highlight(code: str, language: str, deadline: float) -> str:
    """`code` as HTML. `deadline` is a time on `time.thread_time()`; past it the code stays uncoloured."""
    name = LANGUAGES.get(language.lower())
    if name is None or len(code) > HIGHLIGHT_LIMIT:
        return escape(code, quote=False)
    try:
        lexer = get_lexer_by_name(name, ensurenl=False, stripnl=False)
    except ClassNotFound:  # a Pygments without this lexer still shows the code
        return escape(code, quote=False)
    coloured: list[tuple[str, str]] = []
    for kind, value in lexer.get_tokens(code):
        if time.thread_time() > deadline:
            return escape(code, quote=False)
        coloured.append((_colour(kind), value))
    out: list[str] = []
    for colour, run in groupby(coloured, key=lambda pair: pair[0]):
        text = escape("".join(value for _, value in run), quote=False)
        out.append(f'<span class="{colour}">{text}</span>' if colour else text)
    return "".join(out)


def _colour(kind: _TokenType) -> str:
    return next((name for parent, name in _COLOURS if kind in parent), "")
