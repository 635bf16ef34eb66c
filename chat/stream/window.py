"""How much of its replies one page has been sent and has not acknowledged. Daphne has no backpressure: we count."""

from collections import deque

from chat.stream.protocol import ACK_WITHIN_S, WINDOW_BYTES


class Window:
    """The ledger of one socket. Sizes in bytes, times in seconds of one monotonic clock.

    Frames arrive in the order they were sent, so whoever acknowledges one has all before it.
    """

    __slots__ = ("_frames", "_since", "_unheard")

    def __init__(self) -> None:
        self._frames: deque[tuple[int, int, int]] = deque()  # turn, end, size
        self._unheard = 0
        self._since = 0.0

    @property
    def unheard(self) -> int:
        """Bytes that were sent and not acknowledged."""
        return self._unheard

    @property
    def full(self) -> bool:
        """Whether no more may be sent now."""
        return self._unheard >= WINDOW_BYTES

    def sent(self, turn: int, end: int, size: int, now: float) -> None:
        """A frame of a reply was sent, which takes the page to `end` of it."""
        if not self._frames:
            self._since = now
        self._frames.append((turn, end, size))
        self._unheard += size

    def acknowledged(self, turn: int, end: int, now: float) -> None:
        """The page says that it has a reply up to `end`. What was never sent can't be acknowledged, and counts not."""
        ours = [place for place, frame in enumerate(self._frames) if frame[0] == turn]
        if not ours or max(self._frames[place][1] for place in ours) < end:
            return
        heard = [place for place in ours if self._frames[place][1] <= end]
        if not heard:
            return
        for _ in range(heard[-1] + 1):
            self._unheard -= self._frames.popleft()[2]
        self._since = now

    def overdue(self, now: float) -> bool:
        """Whether the page has left something unacknowledged for too long."""
        return bool(self._frames) and now - self._since > ACK_WITHIN_S
