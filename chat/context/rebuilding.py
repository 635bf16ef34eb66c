"""A request made again from what its manifest stored and the rows that are there now: "What the model sees".

Nothing is guessed. Each part is compared with the checksum of what was sent, the whole body with its SHA-256; where
they differ, it is told which part does, and why if a reason is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from chat.context import recipes
from chat.context.recipes import Recipe, Sources
from chat.context.tokens import MESSAGE_TOKENS, REQUEST_TOKENS
from chat.context.values import Block, Part, Request, body_sha256

# `sent`: these are the bytes. `changed`: the row or our own wording says something else now. `gone`: a row is not
# there any more. `unknown`: how the text was made was not stored. `unchecked`: made, but no checksum was stored.
State = Literal["sent", "changed", "gone", "unknown", "unchecked"]
TTL = "ttl"


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of a request as it can be told now. `block` is None where nothing can be made."""

    part: Part
    block: Block | None
    state: State

    @property
    def key(self) -> tuple[object, ...]:
        """By which two blocks of two requests are the same bytes."""
        one = self.block
        words = (one.text, one.type, one.call_id, one.name, one.is_error) if one and self.state == "sent" else ()
        return self.part.role, self.part.check, self.part.ref if self.part.check is None else "", words


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A request made again. `body` is None where a part is missing; `verified`: its hash is the one of what was sent.

    `frame_tokens` are those that stand around the texts: with those of the parts they make the estimate.
    """

    pieces: tuple[Piece, ...]
    body: dict[str, Any] | None
    verified: bool
    frame_tokens: int
    model: str


def rebuild(
    parts: Sequence[Part], *, model: str, frame: Mapping[str, Any] | None, sha256: str, sources: Sources
) -> Rebuilt:
    """Make a request again. `frame` is what stood in its body beside system and messages, and the cache's "ttl"."""
    pieces = tuple(_piece(part, sources) for part in parts)
    body = _body(pieces, model, frame) if frame is not None else None
    messages = len(_messages(pieces))
    return Rebuilt(
        pieces=pieces,
        body=body,
        verified=body is not None and body_sha256(body) == sha256,
        frame_tokens=REQUEST_TOKENS + MESSAGE_TOKENS * messages,
        model=model,
    )


def frame_of(request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be stored of a body beside its parts: numbers and switches, no text."""
    known = ("model", "system", "messages")
    return {TTL: request.ttl} | {name: value for name, value in body.items() if name not in known}


def read_parts(stored: Sequence[Sequence[Any]]) -> tuple[Part, ...]:
    """Parts as they are stored, of any layout."""
    return tuple(
        Part(role, component, ref, tokens, cache, rest[0] if rest else None, _recipe(rest))
        for role, component, ref, tokens, cache, *rest in stored
    )


def _recipe(rest: Sequence[Any]) -> Recipe | None:
    """What stands behind the checksum: nothing (the usual recipe is meant), null (it is unknown), or a recipe."""
    if len(rest) == 1:
        return ()
    return tuple(rest[1]) if len(rest) > 1 and rest[1] is not None else None


def write_part(part: Part) -> list[Any]:
    """A part as it is stored: what goes without saying is left out, nearly all parts are of turns."""
    out: list[Any] = [part.role, part.component, part.ref, part.tokens, part.cache]
    if part.check is None:
        return out
    out.append(part.check)
    if part.recipe is None:
        out.append(None)
    elif part.recipe:
        out.append(list(part.recipe))
    return out


def _piece(part: Part, sources: Sources) -> Piece:
    recipe = part.recipe or recipes.usual(part.role, part.ref)
    if part.recipe is None and part.check is not None:
        recipe = None
    if recipe is None:
        return Piece(part, None, "unknown")
    made = recipes.block(recipe, part.ref, sources)
    if made is None:
        return Piece(part, None, "gone")
    block = replace(made, component=part.component, tokens=part.tokens, cache=part.cache)
    if part.check is None:
        return Piece(part, block, "unchecked")
    return Piece(part, block, "sent" if recipes.check(block.text) == part.check else "changed")


def _messages(pieces: Sequence[Piece]) -> list[tuple[str, list[Piece]]]:
    """The pieces by message: roles alternate, so that neighbours of one role are one message."""
    spoken = [piece for piece in pieces if piece.part.role != "system"]
    return [(role, list(group)) for role, group in groupby(spoken, key=lambda piece: piece.part.role)]


def _body(pieces: Sequence[Piece], model: str, frame: Mapping[str, Any]) -> dict[str, Any] | None:
    """The body, its keys in the order in which they were sent."""
    if any(piece.block is None for piece in pieces):
        return None
    ttl = str(frame.get(TTL, "5m"))

    def content(group: Sequence[Piece]) -> list[dict[str, Any]]:
        return [piece.block.body(ttl) for piece in group if piece.block]

    out: dict[str, Any] = {"model": model}
    out |= {name: value for name, value in frame.items() if name != TTL}
    if system := [piece for piece in pieces if piece.part.role == "system"]:
        out["system"] = content(system)
    out["messages"] = [{"role": role, "content": content(group)} for role, group in _messages(pieces)]
    return out
