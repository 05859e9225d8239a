"""What an operator asks, asked by the real @polkadot/api: every answer is of a type that it decodes."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.node]


def test_an_operator_s_questions_are_answered_in_types_it_decodes(
    polkadot_js: Callable[..., dict[str, Any]], node: NodeProcess
) -> None:
    node.wait_height(3)
    alice = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
    assert polkadot_js("operator.js", f"ws://127.0.0.1:{node.port}") == {
        "round": [True, 6667, 1],
        "proof": True,
        "justification": True,
        "rotated": [64, True],
        "inserted": [True, False],
        "slots": [[alice, 20]],
        "peerId": "12D3KooW",
        "nodeRoles": ["Authority"],
        "chainType": "Development",
        "peers": [0, 0],
        "synced": True,
        "dryRun": [True, True],
        "refused": "RequireSudo",
        "numbers": [1, 2],
        "pairs": [True],
        "child": 0,
    }
