"""The subnet_ namespace: the runtime's answers as JSON that a browser can read."""

from dataclasses import asdict, fields

import pytest

from runtime.frame.base import RuntimeCall
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.runtime import AssayRuntime
from tests.chain.rpc.conftest import market
from tests.runtime.bench import CAROL, call

ASY = 10**12
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
JUDGE = {
    "uid": 0, "hotkey": ALICE, "coldkey": ALICE, "name": "", "stake": str(10_000 * ASY),
    "validatorPermit": True, "consensus": 0, "incentive": 0, "dividends": 0, "emission": "0",
    "lastUpdate": 0, "registeredAt": 0, "immuneUntil": 100, "pruneRank": None, "bond": str(500 * ASY),
    "vesting": "0", "axon": None,
}  # fmt: skip
LONG = ("burn_start", "burn_min", "burn_max", "uid_bond", "weights_version", "stake_threshold")
"""Numbers of more than 32 bits: JSON has them as strings."""


def camel(name: str) -> str:
    """Return a name as JSON has it."""
    head, *rest = name.split("_")
    return head + "".join(each.title() for each in rest)


async def test_the_metagraph_in_one_call(served):
    chosen = market().runtime.subnets.parameters(1)
    found = await served.call("subnet_metagraph", 1)
    judge, other = found.pop("neurons")
    assert judge == JUDGE
    assert (other["uid"], other["hotkey"][:6]) == (1, "5FHneW")
    assert found.pop("hyperparameters") == {
        camel(name): str(value) if name in LONG else value for name, value in asdict(chosen).items()
    }
    assert found.pop("owner").startswith("5")
    assert found == {
        "netuid": 1, "block": 1, "kind": "Training", "ownerUid": None, "createdAt": 0, "paused": False,
        "epoch": 0, "lastEpoch": 0, "nextEpoch": 19, "emission": str(ASY * 8 // 10), "carriedOver": "0",
        "price": str(ASY), "pendingChanges": [],
    }  # fmt: skip
    assert {each.name for each in fields(Hyperparameters)} >= set(LONG)


async def test_the_other_views(served):
    (network,) = await served.call("subnet_networks")
    assert network.pop("owner").startswith("5")
    assert network == {
        "netuid": 1, "kind": "Training", "paused": False, "maxUids": 256, "price": str(ASY),
        "bond": str(500 * ASY), "emissionShare": 1, "emission": str(ASY * 8 // 10), "epoch": 0,
        "nextEpoch": 19,
    }  # fmt: skip
    detail = await served.call("subnet_neuron", 1, 0, None)
    assert detail == {
        "netuid": 1, "block": 1, "neuron": JUDGE, "identity": None, "weights": [], "bonds": [], "commits": [],
    }  # fmt: skip
    assert await served.call("subnet_weights", 1) == {"netuid": 1, "block": 1, "rows": []}
    price = await served.call("subnet_registrationPrice", 1)
    assert price["curve"][0] == {"block": 2, "price": str(ASY)}
    assert (len(price.pop("curve")), price) == (
        16,
        {
            "netuid": 1, "block": 1, "price": str(ASY), "bond": str(500 * ASY), "freeUids": 254,
            "priceAfter": str(ASY * 126 // 100), "replacedUid": None, "opensAt": None,
        },
    )  # fmt: skip
    order = await served.call("subnet_pruneOrder", 1)
    assert order["entries"][0] == {
        "uid": 0, "hotkey": ALICE, "emission": "0", "registeredAt": 0, "immuneUntil": 100,
        "immuneEpochs": 5, "rank": None,
    }  # fmt: skip
    commits = await served.call("subnet_pendingCommits", 1)
    assert commits == {"netuid": 1, "block": 1, "epoch": 0, "nextEpoch": 19, "judges": []}
    preview = await served.call("subnet_emissionPreview", 1)
    assert (preview["emission"], preview["carried"], len(preview["neurons"])) == (
        str(ASY * 8 // 10), str(ASY * 8 // 10), 2,
    )  # fmt: skip
    assert len(preview["inputHash"]) == 66


async def test_a_call_is_checked_before_anybody_pays(served):
    def encoded(price: int) -> str:
        made = call("Neurons", "burned_register", 1, bytes(32), price)
        return "0x" + AssayRuntime.codecs.of(RuntimeCall).encode(made).hex()

    who = "0x" + CAROL.account.hex()
    assert await served.call("subnet_checkCall", who, encoded(ASY)) is None
    assert await served.call("subnet_checkCall", who, encoded(5)) == {
        "pallet": "Neurons",
        "name": "PriceTooHigh",
        "text": "The registration price is above max_price; wait until it has fallen or raise max_price.",
    }
    for bad, said in (
        ("0x0403", "Bad input data provided to SubnetApi_check_call: "),
        ("0x000000", "those of System"),
    ):
        answer = await served.request("subnet_checkCall", who, bad)
        assert said in answer["error"]["message"]


@pytest.mark.parametrize(
    "name",
    [
        "metagraph",
        "neuron",
        "weights",
        "registrationPrice",
        "pruneOrder",
        "pendingCommits",
        "emissionPreview",
    ],
)
async def test_a_subnet_there_is_not_is_null(served, name):
    assert await served.call(f"subnet_{name}", 9, *([0] if name == "neuron" else [])) is None
    for bad, rule in ((65_536, "must be 0 to 65535; it is 65536"), ("1", "must be an integer of 0 or more")):
        error = (await served.request(f"subnet_{name}", bad))["error"]
        assert error["code"] == -32602
        assert rule in error["data"]
