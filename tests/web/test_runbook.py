"""The runbook names what is there: pages, commands, buttons, switches, alerts."""

import re
from pathlib import Path

from django.core.management import get_commands
from django.urls import resolve

from chat.admin.switching import SwitchesForm
from chat.surgery import registry
from monitoring import alerts

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "runbook.md").read_text()


def test_every_page_and_command_that_it_sends_somebody_to_exists() -> None:
    addresses = {found.partition("?")[0] for found in re.findall(r"`(/[a-z/]+(?:\?[a-z=0-9]+)?)`", TEXT)}
    assert len(addresses) >= 7
    for address in addresses:
        resolve(address)
    commands = set(re.findall(r"manage\.py (\w+)", TEXT))
    assert len(commands) >= 7
    assert commands <= set(get_commands())


def test_every_button_switch_and_alert_has_the_name_that_stands_on_it() -> None:
    switches = [str(field.label) for name, field in SwitchesForm().fields.items() if name != "reason"]
    assert [label for label in switches if f"**{label}**" not in TEXT] == []
    labels = {one.label for one in registry.OPERATIONS.values()}
    named = set(re.findall(r"\*\*([A-Z][^*]+?)(?: …)?\*\*", TEXT)) - set(switches)
    assert len(named) >= 8
    unknown = {one for one in named if one not in labels and not any(label.startswith(one) for label in labels)}
    assert unknown == {"It can't be undone."}
    rules = {one.code for one in alerts.DEFAULTS}
    headings = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", TEXT))
    assert headings
    assert headings <= rules
