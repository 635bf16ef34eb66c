"""Why a file is not taken, as a value with a name.

    Refused(code)     encrypted     it needs a password
                      no_text       there is no text in it: a scan, or nothing at all
                      unknown_type  none of the kinds that are read
                      too_large     more bytes than may be sent        (size, limit: bytes)
                      too_long      more text than may be kept         (limit: characters)
                      too_many      more pages than are read           (pages, limit)
                      too_complex   it would take more memory or time than a file may
                      broken        not what it says it is

This module is loaded by the child, too: the standard library only.
"""

CODES = ("encrypted", "no_text", "unknown_type", "too_large", "too_long", "too_many", "too_complex", "broken")


class Refused(Exception):
    """A file is not taken. `figures` are the numbers that the reason is about; never words of the file."""

    def __init__(self, code: str, **figures: int) -> None:
        super().__init__(code)
        self.code = code
        self.figures = figures
