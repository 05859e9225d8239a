"""The runtime is deterministic: no float, no clock, no chance, no input or output, no unordered iteration."""

import ast
from collections.abc import Iterator

import pytest

from tests.gates.sources import name_of, sources

BANNED_MODULES = frozenset(
    {
        "asyncio",
        "datetime",
        "io",
        "locale",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "weakref",
    }
)
BANNED_NAMES = frozenset({"float", "complex", "hash", "id", "open", "input", "eval", "exec", "__import__"})
EXACT_NUMPY = frozenset(
    {
        "add",
        "arange",
        "array",
        "array_equal",
        "bool_",
        "concatenate",
        "cumsum",
        "flatnonzero",
        "frombuffer",
        "int64",
        "maximum",
        "minimum",
        "repeat",
        "searchsorted",
        "sort",
        "zeros",
    }
)
"""What makes integers of integers, and nothing else."""
SET_MAKERS = frozenset({"set", "frozenset"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
ORDERED_USERS = frozenset(
    {
        "list",
        "tuple",
        "dict",
        "enumerate",
        "iter",
        "next",
        "map",
        "filter",
        "zip",
        "reversed",
        "join",
        "extend",
        "fromkeys",
    }
)
"""Calls that keep the order of what they are given; sorted, len, sum, min, max, any and all do not."""
COMPILES = "runtime/primitives/record.py"
"""Where constructors are compiled from the fields of their classes, as the dataclasses module does, once."""


def offences(source: str) -> list[str]:
    """Name every line that two machines might execute differently."""
    tree = ast.parse(source)
    unordered = set_names(tree)
    return [f"{line}: {what}" for node in ast.walk(tree) for line, what in judge(node, unordered)]


def judge(node: ast.AST, unordered: frozenset[str]) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Import(names=names):
            yield from ((node.lineno, f"imports {name.name}") for name in names if is_banned(name.name))
        case ast.ImportFrom(module=str(module)) if is_banned(module):
            yield node.lineno, f"imports {module}"
        case ast.Constant(value=float() | complex()):
            yield node.lineno, f"the float {node.value!r}"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            yield node.lineno, "a division that is not whole"
        case ast.Name(id=name, ctx=ast.Load()) if name in BANNED_NAMES:
            yield node.lineno, f"uses {name}"
        case ast.Attribute(value=ast.Name(id="np"), attr=name) if name not in EXACT_NUMPY:
            yield node.lineno, f"np.{name} may be inexact"
        case ast.For(iter=iterated) if is_set(iterated, unordered):
            yield node.lineno, "iterates over a set"
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            if any(is_set(part.iter, unordered) for part in node.generators):
                yield node.lineno, "iterates over a set"
        case ast.Starred(value=value) if is_set(value, unordered):
            yield node.lineno, "unpacks a set"
        case ast.Call(func=called, args=arguments) if name_called(called) in ORDERED_USERS:
            if any(is_set(argument, unordered) for argument in arguments):
                yield node.lineno, f"{name_called(called)} of a set"
        case ast.Call(func=ast.Attribute(value=value, attr="pop")) if is_set(value, unordered):
            yield node.lineno, "pops from a set"


def is_banned(module: str) -> bool:
    return module.split(".")[0] in BANNED_MODULES


def is_set(node: ast.AST, unordered: frozenset[str]) -> bool:
    """Say whether an expression is a set, as far as the text shows."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SET_MAKERS
        case ast.Call(func=ast.Attribute(attr=method)):
            return method in SET_METHODS
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return is_set(left, unordered) or is_set(right, unordered)
        case ast.Name(id=name):
            return name in unordered
        case ast.Attribute(attr=name):
            return name in unordered
    return False


def set_names(tree: ast.AST) -> frozenset[str]:
    """Return the names that are bound to sets or annotated as sets anywhere in a module."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value) if is_set(value, frozenset()):
                found |= {bound for target in targets if (bound := bound_name(target))}
            case ast.AnnAssign(target=target, annotation=annotation) if is_set_type(annotation):
                found.add(bound_name(target))
            case ast.arg(arg=name, annotation=ast.AST() as annotation) if is_set_type(annotation):
                found.add(name)
    return frozenset(found)


def bound_name(target: ast.AST) -> str:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_set_type(annotation: ast.AST) -> bool:
    head = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(head, ast.Name) and head.id in {*SET_MAKERS, "Set", "AbstractSet"}


def name_called(called: ast.AST) -> str:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def test_the_runtime_is_deterministic() -> None:
    found = [
        (name_of(path), offence) for path in sources("runtime") for offence in offences(path.read_text())
    ]
    assert [each for each in found if each[0] != COMPILES] == []
    assert [offence.partition(" ")[2] for name, offence in found if name == COMPILES] == ["uses exec"]


@pytest.mark.parametrize(
    ("snippet", "offence"),
    [
        ("import time", "1: imports time"),
        ("import os.path", "1: imports os.path"),
        ("from random import choice", "1: imports random"),
        ("from datetime import datetime", "1: imports datetime"),
        ("half = 0.5", "1: the float 0.5"),
        ("half = 1j", "1: the float 1j"),
        ("part = a / b", "1: a division that is not whole"),
        ("a /= 2", "1: a division that is not whole"),
        ("x = float(3)", "1: uses float"),
        ("def f(x: float): pass", "1: uses float"),
        ("x = hash(y)", "1: uses hash"),
        ("key = id(y)", "1: uses id"),
        ("xs.sort(key=id)", "1: uses id"),
        ("open('x')", "1: uses open"),
        ("x = np.float64(1)", "1: np.float64 may be inexact"),
        ("x = np.mean(xs)", "1: np.mean may be inexact"),
        ("x = np.bincount(xs, weights=ys)", "1: np.bincount may be inexact"),
        ("for x in {1, 2}: pass", "1: iterates over a set"),
        ("for x in set(y): pass", "1: iterates over a set"),
        ("xs = [x for x in frozenset(y)]", "1: iterates over a set"),
        ("xs = {x: 1 for x in {y for y in z}}", "1: iterates over a set"),
        ("for x in a | {1}: pass", "1: iterates over a set"),
        ("for x in a.union(b): pass", "1: iterates over a set"),
        ("seen = set()\nfor x in seen: pass", "2: iterates over a set"),
        ("self.seen: set[int] = set()\nxs = list(self.seen)", "2: list of a set"),
        ("def f(seen: frozenset[int]):\n    return tuple(seen)", "2: tuple of a set"),
        ("b''.join({x, y})", "1: join of a set"),
        ("x = next(iter({1}))", "1: iter of a set"),
        ("xs = [*{1, 2}]", "1: unpacks a set"),
        ("seen = {1}\nx = seen.pop()", "2: pops from a set"),
    ],
)
def test_the_gate_names_an_offence(snippet: str, offence: str) -> None:
    assert offences(snippet) == [offence]


@pytest.mark.parametrize(
    "snippet",
    [
        "part = a // b",
        "for x in sorted({1, 2}): pass",
        "xs = sorted(x for x in y)",
        "seen = set()\nfor x in sorted(seen): pass",
        "known = x in {1, 2}",
        "size = len(set(y))",
        "for x in {1: 2}: pass",
        "self.hash()\nheader.id",
        "xs = {x for x in {1, 2}}",
        "import math",
        "x = np.sort(np.array([2, 1], np.int64))",
        "class Vote:\n    hash: bytes\n    id: bytes",
    ],
)
def test_the_gate_lets_whole_and_ordered_code_pass(snippet: str) -> None:
    assert offences(snippet) == []
