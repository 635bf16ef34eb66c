"""What a browser calls itself, in two words: enough to know one's own again, and no more."""

import re

from django.utils.translation import gettext as _

# The first that fits: every one of them also claims to be those below it.
_BROWSERS = (
    ("Edge", re.compile(r"\bEdg(?:A|iOS)?/")),
    ("Opera", re.compile(r"\bOPR/")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|HeadlessChrome)/")),
    ("Safari", re.compile(r"\bSafari/")),
)
_SYSTEMS = (
    ("iPhone", re.compile(r"iPhone")),
    ("iPad", re.compile(r"iPad")),
    ("Android", re.compile(r"Android")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Windows", re.compile(r"Windows")),
    ("macOS", re.compile(r"Macintosh|Mac OS X")),
    ("Linux", re.compile(r"Linux|X11")),
)


def describe(user_agent: str) -> str:
    """Browser and system by their names, joined by "|", for `words`. Nothing of the text itself is kept."""
    text = user_agent[:400]
    names = [next((name for name, sign in kinds if sign.search(text)), "") for kinds in (_BROWSERS, _SYSTEMS)]
    return "|".join(names) if any(names) else ""


def words(described: str) -> str:
    """What `describe` made, as a reader's words."""
    browser, _bar, system = described.partition("|")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("A browser")
