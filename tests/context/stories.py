"""How a story is told to assembly, and what is read off its request."""

from typing import Any

from chat.context import budget as budgets
from chat.context.assembly import assemble, next_rung
from chat.context.values import Assembled, History, Prompt, Request, Run, Turn
from chat.context.window import WindowLimits
from tests.context.strategies import MODEL, Case


def make(case: Case, **options: Any) -> Assembled:
    return assemble(
        case.history,
        case.prompt,
        case.budget,
        case.counter,
        model=MODEL,
        extras=case.extras,
        limits=case.limits,
        **options,
    )


def lower(case: Case, assembled: Assembled, **numbers: int) -> Assembled | None:
    return next_rung(
        assembled,
        case.history,
        case.prompt,
        case.budget,
        case.counter,
        extras=case.extras,
        limits=case.limits,
        **numbers,
    )


def story(*told: Turn, text: str = "And now?", window: int = 200_000, **fields: Any) -> Case:
    """A conversation whose turns are given, asked `text`."""
    extras = fields.pop("extras", ())
    limits = fields.pop("limits", WindowLimits())
    last = fields.pop("last", told[-1].number if told else 0)
    return Case(
        history=History(turns=told, last=last, **fields),
        prompt=Prompt(text=text, number=last + 1),
        budget=budgets.split(window),
        extras=extras,
        limits=limits,
    )


def words(request: Request) -> str:
    return "\n".join(block.text for block in request.blocks())


def state(assembled: Assembled, number: int) -> Run:
    return next(run for run in assembled.manifest.runs if run.first <= number <= run.last)


def states(assembled: Assembled) -> dict[int, str]:
    return {
        number: run.how
        for run in assembled.manifest.runs
        if run.last - run.first < 1000
        for number in range(run.first, run.last + 1)
    }
