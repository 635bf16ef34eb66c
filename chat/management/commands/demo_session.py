"""A conversation to look at on a fresh site: it has been long, its older part is compressed, and it can go on."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from chat.context.tokens import Counter
from chat.models import ChatSession, Summary, Turn
from chat.store import coverage, summaries
from chat.store.portable import inserting, storing
from chat.store.portable.values import Conversation, Exchange
from chat.store.summaries import Made

TITLE = "Demo: a coffee machine loses pressure"
COMPRESSED = 8
"""Turns that the summary stands for."""

TURNS = (
    (
        "Hello. Lena Brandt wrote to us: her Corvo Duo loses pressure. The order number is A-7731. Can you help me with"
        " the case?",
        "Gladly. To begin with, three things are worth knowing:\n\n1. **When** does the pressure fall: while warming"
        " up, or with the second cup?\n2. **How far** does it fall, read on the gauge?\n3. Is the machine still under"
        " warranty? Order A-7731 will show the date.",
    ),
    (
        "Bought on 12 September 2026 for EUR 1,849.00. It starts at 9 bar and stands at 6 bar after the second shot.",
        "Then it is well within the two years. A fall from 9 to 6 bar *after* the first shot points away from the"
        " pump: a weak pump would be weak from the start. I would suspect the expansion valve, which opens too early"
        " once it is warm.\n\nAsk for a short video of the gauge during two shots in a row.",
    ),
    (
        "She sent one. Drops of water come out of the drain hose all the time while she pulls the shot.",
        "That settles it as far as a video can: water that leaves by the drain hose during a shot has passed the"
        " expansion valve.\n\n| Part | Sign of failure | Seen? |\n|---|---|:-:|\n| Pump | low from the first second |"
        " no |\n| Gasket | water at the group head | no |\n| Expansion valve | water from the drain hose | **yes**"
        " |\n\nThe part is the valve kit CD-118.",
    ),
    (
        "Can she fit it herself? Her serial number is CD2-0418-553.",
        "Yes, with two spanners and a quarter of an hour. For the series CD2 there is a guide of two pages. Three"
        " warnings belong in the letter:\n\n- pull the plug and let the machine cool for an hour;\n- count the turns"
        " when unscrewing the old valve, and set the new one to the same number;\n- do not use thread tape on the"
        " copper washer.",
    ),
    (
        "How do I know that the spring of the new valve is strong enough?",
        "The valve opens when the force of the water is larger than that of the spring:\n\n$$p_{\\text{open}} ="
        " \\frac{F_0 + k \\cdot x}{A}$$\n\nwith the preload $F_0$, the spring rate $k$, the travel $x$ and the area"
        " $A$. The kit CD-118 is set to 11 bar at the factory, so that 9 bar stay with room to spare.",
    ),
    (
        "She runs a small café and fears to stand there without a machine. I promised her an answer within ten working"
        " days, and a loaner if it takes longer.",
        "Noted as a promise: an answer within **ten working days**, and a loaner machine if it takes longer. If the"
        " kit does not help, a courier can fetch the machine; book the pickup now under R-2209 and cancel it when it is"
        " not needed.",
    ),
    (
        "Pickup R-2209 is booked for 3 November 2026. What do we tell accounting?",
        'A reservation of the costs, nothing final:\n\n```json\n{\n  "order": "A-7731",\n  "pickup": "R-2209",\n'
        '  "parts": ["CD-118"],\n  "warranty": true,\n  "reserved_eur": 243.00\n}\n```\n\nOf the EUR 243.00,'
        " EUR 148.00 are the kit and EUR 95.00 a visit by a technician, should she want one.",
    ),
    (
        "She does want the technician. Mr Adler can come on 2 November. Her mail is lena.brandt@example.com.",
        "Then both stand: Mr Adler on **2 November 2026**, the pickup R-2209 a day later as the fallback. I would"
        " write to lena.brandt@example.com today, so that she can move the delivery of beans on that morning.",
    ),
    (
        "The technician was there. The gauge reads 9 bar again, also after the fifth shot.",
        "Very good: then it was the valve, and the pickup R-2209 can be cancelled.\n\nWhat is left to do:\n\n- [x] fit"
        " the kit CD-118\n- [x] test with five shots\n- [ ] cancel the pickup\n- [ ] settle the days without a machine",
    ),
    (
        "Lena asks whether we pay for the fortnight in which she could sell no espresso.",
        "The warranty does not cover lost sales, so whatever you pay is goodwill. A fair measure would be the rent of"
        " a loaner for the days without the machine, because that is what the promise was worth:\n\n| Item | Basis |"
        " Amount |\n|---|---|--:|\n| Kit CD-118 | warranty | € 148.00 |\n| Visit, 2 November | warranty | € 95.00 |\n|"
        " 14 days without the machine | goodwill | € 40.00 |\n| **Together** | | **€ 283.00** |",
    ),
    (
        "Agreed. Write two sentences to her, please.",
        "> Dear Ms Brandt, your Corvo Duo holds its 9 bar again, and I am glad of it. For the fourteen days without it"
        " we send you € 40.00 as a small thank-you for your patience; parts and visit are covered by the warranty.",
    ),
    (
        "Sent. What is still open in this case?",
        "One thing only: the pickup **R-2209** has to be cancelled. All else is done: the valve is fitted and tested,"
        " the € 40.00 are on their way, and the promise of an answer within ten working days was kept.",
    ),
)

SUMMARY = """Previously in this conversation: a support agent and the assistant work on the case of Lena Brandt, whose \
Corvo Duo loses pressure.
## Goal and situation
The pressure falls from 9 to 6 bar after the second shot; water leaves by the drain hose. Lena runs a small café and \
wants the machine repaired, not exchanged.
## Decisions and why
- The expansion valve is replaced by the kit CD-118: a weak pump would be weak from the start, and no water comes from \
the group head.
- Mr Adler fits it on 2 November 2026, because Lena wants a technician.
- The courier pickup R-2209 on 3 November 2026 stays booked as the fallback.
## Commitments and open questions
- Promised to Lena: an answer within ten working days, and a loaner if it takes longer.
- EUR 243.00 are reserved with accounting; nothing is final.
## Exact values
- A-7731: "The order number is A-7731"
- Corvo Duo, Lena Brandt: "Lena Brandt wrote to us: her Corvo Duo loses pressure"
- lena.brandt@example.com: "Her mail is lena.brandt@example.com"
- CD2-0418-553: "Her serial number is CD2-0418-553"
- 12 September 2026, EUR 1,849.00: "Bought on 12 September 2026 for EUR 1,849.00"
- CD-118, 6 bar, 9 bar, 11 bar
- R-2209, 3 November 2026, Mr Adler, 2 November 2026
- EUR 243.00, EUR 148.00, EUR 95.00
## Artefacts
- A reservation for accounting as JSON.
## Lookup hints
valve, drain hose, spring, courier, technician"""


class Command(BaseCommand):
    """Safe to repeat: a demo that is there, or was deleted by its owner, is not made again."""

    help = "Give a user a demo conversation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose it becomes."""
        parser.add_argument("--user", default="", help="name of the owner; else the first administrator")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the conversation, unless this user has had it before."""
        people = get_user_model().objects
        named = people.filter(username=options["user"]) if options["user"] else people.filter(is_superuser=True)
        owner = named.order_by("pk").first()
        if owner is None:
            raise CommandError("There is no such user.")
        told = conversation()
        first = inserting.client_id(told.digest(), 0)
        if Turn.objects.filter(number=1, client_id=first, session__owner=owner).exists():
            return
        with transaction.atomic():
            session = storing.store(owner, told)
            compress(session)
        if options["verbosity"]:
            self.stdout.write(f"Demo conversation: /c/{session.pk}/")


def conversation() -> Conversation:
    """The demo as the import would read it, its last turn a moment ago."""
    now = timezone.now()
    turns = tuple(
        Exchange(
            prompt=prompt,
            reply=reply,
            parent=index - 1 if index else None,
            at=now - timedelta(minutes=7 * (len(TURNS) - index)),
        )
        for index, (prompt, reply) in enumerate(TURNS)
    )
    return Conversation(place="demo", title=TITLE, turns=turns)


def compress(session: ChatSession) -> None:
    """Put the summary in the place of the older turns, by the way that every compaction goes."""
    # Asked for by name, as the site's own text: not by a model, and the notice must not claim one.
    made = Made(text=SUMMARY, tokens=Counter().count(SUMMARY), model="", made_by=Summary.MadeBy.USER, gate={})
    draft = summaries.save(
        session.pk,
        1,
        COMPRESSED,
        coverage.source_hash(session.pk, 1, COMPRESSED),
        tier=1,
        source_tokens=coverage.range_tokens(session.pk, 1, COMPRESSED),
        made=made,
    )
    if draft is None or summaries.commit(session.pk, [draft.pk], window_from=COMPRESSED + 1) is None:
        raise CommandError("The demo could not be compressed.")
