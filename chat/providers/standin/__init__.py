"""A local Messages API for use without a key: the real limits, errors, usage and cache accounting, no model.

It stands alone: nothing of the rest of `chat` is imported here, so that what it counts and refuses is a second
opinion, not an echo.
"""

from .faults import Fault, Faults
from .server import Record, StandIn, start_standin

__all__ = ["Fault", "Faults", "Record", "StandIn", "start_standin"]
