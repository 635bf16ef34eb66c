"""Makes users, conversations and signed-in sessions in bulk. `python -m tests.bench.load.seed N FILE`

Runs with the site's own settings; FILE gets a JSON list of {session, cookie}. A login by its form would measure the
password hash: what a socket shows is the same cookie, and it is checked in the same way.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

BATCH = 1_000


def main(count: int, file: str) -> None:
    """Make `count` users with a conversation each."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.models import Session
    from django.core.management import call_command
    from django.utils import timezone

    from chat.models import ChatSession
    from chat.store import sessions

    call_command("migrate", verbosity=0, skip_checks=True)
    model = get_user_model()
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    text = sessions.instructions(settings.CHAT_INSTRUCTIONS)
    made = []
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        users = model.objects.bulk_create([model(username=f"bench{number}", password="!none") for number in numbers])
        # By name: not every database tells the ids of what it made.
        users = list(model.objects.filter(username__in=[user.username for user in users]))
        chats = ChatSession.objects.bulk_create(
            [
                ChatSession(owner=user, instructions=text, model=settings.CHAT_MODEL, strategy=settings.CHAT_STRATEGY)
                for user in users
            ]
        )
        logins = []
        for user, chat in zip(users, chats, strict=True):
            data = {
                SESSION_KEY: str(user.pk),
                BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                HASH_SESSION_KEY: user.get_session_auth_hash(),
            }
            key = store._get_new_session_key()
            ends = timezone.now() + timezone.timedelta(days=1)
            logins.append(Session(session_key=key, session_data=store.encode(data), expire_date=ends))
            made.append({"session": str(chat.pk), "cookie": f"{settings.SESSION_COOKIE_NAME}={key}"})
        Session.objects.bulk_create(logins)
    Path(file).write_text(json.dumps(made))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
