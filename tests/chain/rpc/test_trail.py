"""The modelUpdates_ and training_ namespaces: the runtime's answers as JSON that a browser can read."""

import pytest

from runtime.primitives import mmr


async def test_the_range_of_a_chain_without_updates(served):
    assert await served.call("modelUpdates_root") == "0x" + mmr.root(0, []).hex()
    assert await served.call("modelUpdates_generateProof", 0) is None
    assert await served.call("modelUpdates_generateProof", 2**64 - 1) is None


async def test_rounds_that_have_not_begun(served):
    assert await served.call("training_round", 1, 1) is None
    assert await served.call("training_lineage", 1, 1, 2**32 - 1, None) == {
        "netuid": 1, "block": 1, "first": 1, "last": 0, "steps": [], "parameterSets": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "parameters", "problem"),
    [
        ("modelUpdates_generateProof", [2**64], "(leaf) must be 0 to 18446744073709551615"),
        ("modelUpdates_generateProof", ["1"], "(leaf) must be an integer of 0 or more; it is '1'"),
        ("training_round", [1], "(round) must be an integer of 0 or more; it is missing"),
        ("training_round", [65_536, 1], "(netuid) must be 0 to 65535; it is 65536"),
        ("training_lineage", [1, 2**32, 0], "(from) must be 0 to 4294967295"),
        ("training_lineage", [1, 0, -1], "(to) must be an integer of 0 or more; it is -1"),
    ],
)
async def test_what_is_asked_wrongly_is_told(served, method, parameters, problem):
    answer = await served.request(method, *parameters)
    assert answer["error"]["code"] == -32602
    assert problem in answer["error"]["data"]
