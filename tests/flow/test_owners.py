"""Names of processes: which of them certainly run no more."""

import os
import subprocess
import sys

from chat.flow import owners


def test_a_name_is_new_each_time_and_fits_its_column() -> None:
    first, second = owners.name(), owners.name()
    assert first != second
    assert len(first) <= 64
    assert first.split(":")[2] == str(os.getpid())


def test_this_process_and_its_living_neighbours_are_not_gone() -> None:
    assert not owners.is_gone(owners.name())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not owners.is_gone(f"host:{owners.place()}:{process.pid}:12345678")
        process.communicate(b"\n", timeout=10)
    assert owners.is_gone(f"host:{owners.place()}:{process.pid}:12345678"), "it ended and was waited for"


def test_what_cannot_be_known_is_not_gone(monkeypatch) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(timeout=10)
    here = owners.place()
    assert here, "these tests run where the kernel tells its boot and its table of processes"
    for owner in ("", "a", f"host:{dead.pid}:12345678", f"host:00000000:{dead.pid}:12345678", f"host:{here}:x:1"):
        assert not owners.is_gone(owner), owner
    monkeypatch.setattr(owners, "place", lambda: "")
    assert not owners.is_gone(f"host::{dead.pid}:12345678"), "a place without a name is nobody's"
