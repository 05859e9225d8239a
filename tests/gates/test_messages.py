"""Everything peers can say is fuzzed, and every fault they can be blamed for is raised by some test."""

import ast
from collections.abc import Iterator

from chain.common.faults import TERMS, Fault
from chain.network import messages
from chain.network.messages import LIMITS, Channel
from runtime.primitives.scale import Codec
from tests.fuzz.targets import all_targets
from tests.gates.sources import sources

CODECS = {name: each for name, each in vars(messages).items() if isinstance(each, Codec)}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_every_channel_has_limits_and_reaches_a_whole_node_in_fuzzing() -> None:
    seeds = {Channel(seed[0]) for seed in all_targets()["network.peer"].seeds}
    assert seeds == set(LIMITS) == set(Channel)


def test_every_message_has_a_fuzz_target_of_its_own() -> None:
    decoders = [target.decode for target in all_targets().values()]
    assert len(CODECS) >= len(Channel) - 2, "votes and GRANDPA's other messages have one codec elsewhere"
    assert [name for name, each in CODECS.items() if each.decode not in decoders] == []


def test_every_fault_has_a_cost_and_advice_of_a_line() -> None:
    assert set(TERMS) == set(Fault)
    assert [fault for fault in Fault if not 0 < fault.cost <= 1 << 31] == []
    assert [fault for fault in Fault if not 20 < len(fault.advice) < 160 or "\n" in fault.advice] == []


def test_every_fault_is_what_some_test_asserts() -> None:
    """In an assertion of a test, or in a table or parameter of a test that asserts something."""
    found: set[str] = set()
    for path in sources("tests"):
        if path.parts[-2] != "gates":
            found |= asserted(ast.parse(path.read_text()))
    assert sorted({fault.name for fault in Fault} - found) == []


def asserted(module: ast.Module) -> set[str]:
    """Return the faults that the tests of a module are about."""
    tables = {
        target.id: faults_in(node)
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found: set[str] = set()
    for test in functions_of(module):
        asserts = [node for node in ast.walk(test) if isinstance(node, ast.Assert) or is_wait(node)]
        if not asserts:
            continue
        names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
        found |= set().union(*(tables.get(name, set()) for name in names))
        found |= set().union(*map(faults_in, (*asserts, *test.decorator_list)))
        locals_ = [node for node in ast.walk(test) if isinstance(node, ast.Assign)]
        found |= set().union(*map(faults_in, locals_))
    return found


def is_wait(node: ast.AST) -> bool:
    """Say whether this waits until something holds, and fails where it never does."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "until"


def functions_of(module: ast.Module) -> Iterator[Function]:
    """Yield the test functions of a module."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def faults_in(node: ast.AST) -> set[str]:
    """Return the faults that are named under a node."""
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "Fault"
    }


def test_the_gate_is_not_content_with_a_name() -> None:
    source = "def test_it():\n    'Fault.BUG'\n    Fault.BUG\n    x = Fault.GENESIS\n"
    assert asserted(ast.parse(source)) == set()
    assert asserted(ast.parse(source + "    assert x\n    # Fault.BUG\n")) == {"GENESIS"}
    assert asserted(ast.parse("T = {Fault.BUG: 1}\ndef test_it():\n    for x in T:\n        assert x\n")) == {
        "BUG"
    }
    assert asserted(ast.parse("T = {Fault.BUG: 1}\ndef helper():\n    assert T\n")) == set()
