"""The window: what was sent and not acknowledged, and for how long."""

from hypothesis import given
from hypothesis import strategies as st

from chat.stream.protocol import ACK_WITHIN_S, WINDOW_BYTES
from chat.stream.window import Window


def test_what_is_acknowledged_makes_room():
    window = Window()
    window.sent(7, 100, WINDOW_BYTES - 1, now=0)
    assert not window.full
    window.sent(7, 200, 1, now=0)
    assert window.full
    window.acknowledged(7, 100, now=1)
    assert (window.full, window.unheard) == (False, 1)


def test_who_has_a_frame_has_all_before_it():
    window = Window()
    for turn, end in [(7, 100), (7, 300), (7, 100), (8, 50)]:
        window.sent(turn, end, 10, now=0)
    window.acknowledged(7, 300, now=1)
    assert window.unheard == 10, "the block that lay behind the text was sent before the acknowledged end, too"
    window.acknowledged(8, 50, now=1)
    assert window.unheard == 0


def test_part_of_a_frame_is_not_the_frame():
    window = Window()
    window.sent(7, 100, 10, now=0)
    window.acknowledged(7, 99, now=1)
    assert window.unheard == 10


def test_what_was_never_sent_can_t_be_acknowledged():
    window = Window()
    window.sent(7, 100, 10, now=0)
    for turn, end in [(7, 101), (7, 2**53), (8, 100)]:
        window.acknowledged(turn, end, now=1)
        assert window.unheard == 10


def test_the_clock_runs_from_the_oldest_frame_and_from_the_last_acknowledgement():
    window = Window()
    assert not window.overdue(10_000), "with nothing on its way there is nothing to wait for"
    window.sent(7, 100, 10, now=100)
    window.sent(7, 200, 10, now=120)
    assert not window.overdue(100 + ACK_WITHIN_S)
    assert window.overdue(100 + ACK_WITHIN_S + 1)
    window.acknowledged(7, 100, now=125)
    assert not window.overdue(125 + ACK_WITHIN_S)
    assert window.overdue(126 + ACK_WITHIN_S)
    window.acknowledged(7, 200, now=127)
    assert not window.overdue(10_000)
    window.sent(7, 300, 10, now=10_000)
    assert not window.overdue(10_001)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 50), st.integers(0, 40_000)), min_size=1, max_size=60
    )
)
def test_it_never_holds_more_or_less_than_what_is_on_its_way(steps):
    """Against the plainest model: a list of frames, cut after the last one that an acknowledgement covers."""
    window, model, clock = Window(), [], 0.0
    for sends, turn, end, size in steps:
        clock += 1
        if sends:
            window.sent(turn, end, size, clock)
            model.append((turn, end, size))
        else:
            window.acknowledged(turn, end, clock)
            ends = [frame[1] for frame in model if frame[0] == turn]
            covered = [place for place, frame in enumerate(model) if frame[0] == turn and frame[1] <= end]
            if covered and end <= max(ends):
                del model[: covered[-1] + 1]
        assert window.unheard == sum(frame[2] for frame in model)
        assert window.full == (window.unheard >= WINDOW_BYTES)
