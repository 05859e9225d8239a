"""A module has at most 600 lines, a function at most 60, a package's __init__ no code."""

import ast

import pytest

from tests.gates.sources import ROOMS, name_of, sources

MOST_MODULE_LINES = 600
MOST_FUNCTION_LINES = 60


def oversized(source: str) -> list[str]:
    """Name what is too long in a module."""
    lines = len(source.splitlines())
    found = [f"{lines} lines"] if lines > MOST_MODULE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            if length > MOST_FUNCTION_LINES:
                found.append(f"{node.name} has {length} lines")
    return found


def has_code(source: str) -> bool:
    """Say whether a module holds more than its docstring."""
    body = ast.parse(source).body
    return len(body) > 1 or (len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is None)


def test_no_module_and_no_function_is_too_long() -> None:
    found = [f"{name_of(path)}: {what}" for path in sources(*ROOMS) for what in oversized(path.read_text())]
    assert found == []


def test_no_package_init_holds_code() -> None:
    found = [
        name_of(path) for path in sources(*ROOMS) if path.name == "__init__.py" and has_code(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("prefix", ["def", "async def"])
def test_the_gate_counts_what_it_should(prefix: str) -> None:
    body = "    pass\n"
    assert oversized(f"{prefix} long():\n" + body * 59) == []
    assert oversized(f"class Any:\n    {prefix} long():\n" + f"    {body}" * 60) == ["long has 61 lines"]
    assert oversized("x = 1\n" * 600) == []
    assert oversized("x = 1\n" * 601) == ["601 lines"]


def test_the_gate_sees_code_in_an_init() -> None:
    assert [has_code(source) for source in ("", '"""Words."""\n', "# words\n")] == [False, False, False]
    assert [has_code(source) for source in ("x = 1\n", '"""Words."""\nimport os\n')] == [True, True]


def test_the_gates_read_every_room() -> None:
    seen = {name_of(path).split("/")[0] for path in sources(*ROOMS)}
    assert {"runtime", "chain", "miners", "validators", "tests"} <= seen
