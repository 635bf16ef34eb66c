"""Which names the site reads from the bodies of requests, found in its sources: so that a new one is not forgotten.

A body is `request.POST`, `request.FILES`, or what a function takes as a QueryDict; a variable that holds one is one.
What is asked of it by name is a field. Where all of it goes somewhere else (into a form, mostly) that place is found,
and fields of forms are found in the forms. Django's own views are read the same way, as far as the site has them.
"""

import ast
import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import UserCreationForm
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver

from chat.stream import inbound
from chat.surgery import registry
from tests import law

BODIES = ("POST", "FILES")
RAW = ("body", "read", "readline", "readlines", "_stream")
ASKS = ("get", "getlist", "pop", "setdefault")
OURS = ("chat", "monitoring", "ctxsite")


@dataclass(frozen=True, slots=True)
class Found:
    """Fields as (module, name), and places to which whole bodies go as (module, expression)."""

    names: frozenset[tuple[str, str]]
    whole: frozenset[tuple[str, str]]


def sources() -> dict[str, str]:
    """Our modules, and those of Django and others that answer at some address."""
    others = {_home(pattern) for pattern in patterns()}
    modules = {name: importlib.import_module(name) for name in others if name.partition(".")[0] not in OURS}
    return law.sources() | {name: inspect.getsource(module) for name, module in modules.items()}


def patterns(found: Any = None) -> Iterator[URLPattern]:
    """Every pattern of the site."""
    for one in (found or get_resolver()).url_patterns:
        if isinstance(one, URLResolver):
            yield from patterns(one)
        else:
            yield one


def _home(pattern: URLPattern) -> str:
    return getattr(pattern.callback, "view_class", pattern.callback).__module__


def read(given: Mapping[str, str]) -> Found:
    """What these sources, by module, ask of bodies."""
    names: set[tuple[str, str]] = set()
    whole: set[tuple[str, str]] = set()
    for module, text in given.items():
        if not any(word in text for word in (*BODIES, "QueryDict", "HttpRequest")):
            continue
        found, going = _Reader().read(ast.parse(text))
        names |= {(module, name) for name in found}
        whole |= {(module, place) for place in going}
    return Found(frozenset(names), frozenset(whole))


class _Reader:
    """Goes through a module function by function; knows which of their variables hold a body, and which a request."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.whole: set[str] = set()
        self._above: dict[ast.AST, ast.AST] = {}

    def read(self, tree: ast.AST) -> tuple[set[str], set[str]]:
        self._above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._visit(tree, frozenset(), frozenset())
        return self.names, self.whole

    def _visit(self, node: ast.AST, bodies: frozenset[str], requests: frozenset[str]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bodies |= {one.arg for one in arguments if _says(one.annotation, "QueryDict")}
            requests |= {one.arg for one in arguments if _says(one.annotation, "HttpRequest")}
            bodies |= {name for inner in ast.walk(node) for name in self._holds(inner, bodies)}
        if isinstance(node, ast.Attribute) and node.attr in BODIES:
            self._asked(node)
        elif isinstance(node, ast.Attribute) and node.attr in RAW and _is_request(node.value, requests):
            self.whole.add(ast.unparse(self._user(node)))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in bodies:
            self._asked(node)
        for child in ast.iter_child_nodes(node):
            self._visit(child, bodies, requests)

    def _holds(self, node: ast.AST, bodies: Collection[str]) -> Iterator[str]:
        """Names that an assignment makes hold a body: it, or a copy of it, perhaps instead of something else."""
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value and _is_body(node.value, bodies):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id

    def _asked(self, node: ast.expr) -> None:
        """Note what is asked of this body."""
        above = self._above[node]
        call = self._above.get(above)
        if isinstance(above, ast.Attribute) and isinstance(call, ast.Call) and call.func is above:
            if above.attr in ASKS:
                self.names.add(_name(call.args[0]))
            elif above.attr != "copy" or not self._assigned(call):
                self.whole.add(ast.unparse(self._user(call)))
        elif isinstance(above, ast.Subscript) and above.value is node:
            if isinstance(above.ctx, ast.Load):
                self.names.add(_name(above.slice))
        elif (
            isinstance(above, ast.Compare)
            and node in above.comparators
            and isinstance(above.ops[0], ast.In | ast.NotIn)
        ):
            self.names.add(_name(above.left))
        elif not self._assigned(node) and not isinstance(getattr(node, "ctx", None), ast.Store):
            self.whole.add(ast.unparse(self._user(node)))

    def _assigned(self, node: ast.AST) -> bool:
        """Whether it only gets another name, under which it is looked at."""
        above = self._above[node]
        if isinstance(above, ast.IfExp | ast.BoolOp):
            return self._assigned(above)
        return isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr)

    def _user(self, node: ast.AST) -> ast.AST:
        """What a whole body is given to: the nearest call around it, or what stands in for one."""
        while not isinstance(above := self._above[node], ast.stmt):
            node = above
            if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr == "copy"):
                break
        return node


def _says(annotation: ast.expr | None, word: str) -> bool:
    return annotation is not None and word in ast.unparse(annotation)


def _is_body(value: ast.expr, bodies: Collection[str]) -> bool:
    match value:
        case ast.Attribute(attr=attr):
            return attr in BODIES
        case ast.Name(id=name):
            return name in bodies
        case ast.IfExp(body=one, orelse=other):
            return _is_body(one, bodies) or _is_body(other, bodies)
        case ast.BoolOp(values=values):
            return any(_is_body(one, bodies) for one in values)
        case ast.Call(func=ast.Attribute(value=inner, attr="copy")):
            return _is_body(inner, bodies)
    return False


def _is_request(value: ast.expr, requests: Collection[str]) -> bool:
    if isinstance(value, ast.Attribute):
        return value.attr == "request"
    return isinstance(value, ast.Name) and value.id in requests


def _name(given: ast.expr) -> str:
    """A field's name; in braces what is computed."""
    return given.value if isinstance(given, ast.Constant) else f"{{{ast.unparse(given)}}}"


# --- fields that are declared, not asked for ----------------------------------------------------------------------


def declared() -> set[tuple[str, str]]:
    """Fields of forms, by form; of the administration's, by model; of operations; and of frames, by type."""
    every = {*_ours(forms.BaseForm), *_of_views(), UserCreationForm}
    found = {(_title(form), name) for form in every for name in form.base_fields}
    found |= set(_of_administration())
    found |= {("operations", one.name) for operation in registry.OPERATIONS.values() for one in operation.parameters}
    return found | {(f"frame {kind.type}", one.name) for kind in _frames() for one in fields(kind)}


def _title(form: type) -> str:
    return f"{form.__module__}.{form.__qualname__}"


def _ours(base: type) -> Iterator[Any]:
    """Forms of ours. The URLconf has loaded every module that answers."""
    for form in base.__subclasses__():
        if form.__module__.partition(".")[0] in OURS:
            yield form
        yield from _ours(form)


def _of_views() -> Iterator[Any]:
    """Forms of class-based views, as the URLconf has them."""
    for pattern in patterns():
        view = getattr(pattern.callback, "view_class", None)
        form = getattr(pattern.callback, "view_initkwargs", {}).get("form_class") or getattr(view, "form_class", None)
        if form:
            yield form


def _of_administration() -> Iterator[tuple[str, str]]:
    """Forms of the rows that somebody may add or change in the administration."""
    request = RequestFactory().get("/")
    request.user = get_user_model()(is_superuser=True, is_staff=True, is_active=True)
    for model, page in admin.site._registry.items():
        pages = [None] if page.has_add_permission(request) else []
        pages += [model()] if page.has_change_permission(request) else []
        shown = [page.get_form(request, row, change=row is not None) for row in pages]
        shown += [page.change_password_form] if hasattr(page, "change_password_form") else []
        yield from ((f"admin {model._meta.label}", name) for form in shown for name in form.base_fields)


def _frames() -> Iterator[Any]:
    kinds = [one for one in vars(inbound).values() if inspect.isclass(one) and isinstance(vars(one).get("type"), str)]
    assert {kind.type for kind in kinds} == set(inbound.INBOUND)
    yield from kinds
