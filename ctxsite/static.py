"""Static files under names that hold their content's hash, so that a browser may keep them for ever."""

from servestatic.storage import CompressedManifestStaticFilesStorage

# `from "./x.js"`, `import "./x.js"`, `import("./x.js")`: in our own modules only. Django's switch for this reads
# every script of every package, and fails on the relative names in django-htmx's extensions.
MODULE_IMPORTS = (
    "js/*.js",
    (
        (
            r"""(?P<matched>(?P<head>\bfrom\s*|\bimport\s*\(?\s*)["'](?P<url>\.{1,2}/[^"']+)["'])""",
            '%(head)s"%(url)s"',
        ),
    ),
)


class HashedStorage(CompressedManifestStaticFilesStorage):
    """Hashed names once `collectstatic` has run; before, the plain names, served straight from the sources.

    The imports inside our ES modules get hashed names too: else a browser could mix modules of two releases.
    """

    patterns = (*CompressedManifestStaticFilesStorage.patterns, MODULE_IMPORTS)

    def stored_name(self, name: str) -> str:
        """The name to serve `name` under."""
        return super().stored_name(name) if self.hashed_files else name
