"""Writers to SQLite stand in line: each is served in its turn, and nobody holds the line who does not write."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from django.conf import settings
from django.db import connection, transaction

from chat.models import Instructions

pytestmark = [pytest.mark.sqlite, pytest.mark.django_db(transaction=True)]

HOLD = """
import fcntl, os, sys, time
place = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(place, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held():
    """Another process at the head of the line."""
    path = f"{connection.settings_dict['NAME']}-line"
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def standing_behind(work) -> tuple[threading.Thread, list[str]]:
    """Run `work` in a thread and give it the time to come to the line."""
    done: list[str] = []

    def run() -> None:
        try:
            work()
            done.append("served")
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    return thread, done


def write() -> None:
    with transaction.atomic():
        Instructions.objects.create(text="In line.", digest="1" * 64)


def statement() -> None:
    Instructions.objects.filter(digest="none").update(text="Alone.")


def read() -> None:
    Instructions.objects.count()


@pytest.mark.parametrize("work", [write, statement])
def test_a_writer_waits_for_the_one_before_it_and_is_served_when_that_dies(held, work):
    thread, done = standing_behind(work)
    assert done == []
    os.kill(held.pid, signal.SIGKILL)
    thread.join(10)
    assert done == ["served"]


def test_who_has_waited_for_the_timeout_goes_to_sqlite_itself(held, monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "timeout", 0.5)
    thread, done = standing_behind(write)
    thread.join(10)
    assert done == ["served"]
    assert held.poll() is None, "although the line is held"


def test_a_reader_does_not_stand_in_line(held):
    thread, done = standing_behind(read)
    thread.join(10)
    assert done == ["served"]


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_the_line_is_left_when_the_transaction_ends_however_it_ends(ending):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert connection._place is not None
    getattr(connection, ending)()
    assert connection._place is None
    if ending != "close":
        connection.set_autocommit(True)


def test_the_settings_use_the_line():
    assert settings.DATABASES["default"]["ENGINE"] == "ctxsite.sqlite3"
