"""SubnetApi: what it says of a subnet is what the chain then does."""

from typing import Any

import pytest

from runtime.apis import NATIVE, answer
from runtime.frame.api import ApiTrap
from runtime.frame.base import Call, RuntimeCall
from runtime.pallets.incentive.pallet import EmissionPaid, EpochRun
from runtime.pallets.neurons.messages import NeuronDeregistered, NeuronRegistered
from runtime.pallets.neurons.types import Axon, Identity
from runtime.pallets.subnets.numbers import Hyperparameters, Parameter
from runtime.pallets.subnets.types import Kind
from runtime.pallets.weights import WeightCommit
from runtime.primitives.commitments import weights_commitment
from runtime.primitives.scale import codec
from runtime.primitives.types import AccountId
from runtime.runtime import AssayRuntime
from runtime.subnet_api import (
    EmissionPreview,
    Forecast,
    JudgeCommits,
    JudgeRow,
    Metagraph,
    NetworkInfo,
    NeuronDetail,
    NeuronInfo,
    PendingChange,
    PendingCommits,
    PruneEntry,
    PruneOrder,
    Refusal,
    RegistrationPrice,
    WeightRows,
)
from tests.runtime.bench import ALICE, BOB, CAROL, DAVE, Chain, call, configuration, transfer

NETUID = 2
REWARD = 1 << 12
"""planck; it is halved in every block, so that the last blocks before the epoch mint nothing"""
EPOCH = 18
NUMBERS = {
    "tempo": 20, "immunity_period": 10, "activity_cutoff": 200, "freeze_window": 2, "max_uids": 4,
    "burn_start": 1_000, "burn_min": 10, "burn_max": 10**9, "burn_half_life": 8, "uid_bond": 5_000_000_000,
    "serving_rate_limit": 1, "commit_reveal": 0, "vesting_rounds": 0,
}  # fmt: skip
BOND = NUMBERS["uid_bond"]
HOTKEYS = [AccountId(bytes([0xB0 + number]) * 32) for number in range(3)]
SALT = b"s" * 32
CALL = AssayRuntime.codecs.of(RuntimeCall)


def opened(**numbers: int) -> Chain:
    """Return a chain with an inference subnet in which Alice judges as uid 0; Bob owns it."""
    config = configuration()
    seat = "0x" + ALICE.account.hex()
    subnet = {"kind": "Inference", "owner": "0x" + BOB.account.hex(), "hyperparameters": NUMBERS | numbers}
    constants = config["constants"] | {"Incentive": {"BlockReward": REWARD, "HalvingInterval": 1}}
    config |= {
        "constants": constants,
        "subnets": config["subnets"] | {NETUID: subnet},
        "neurons": config["neurons"] | {NETUID: [{"hotkey": seat, "coldkey": seat}]},
        "incentive": config["incentive"] | {NETUID: [0]},
        "staking": {"stakers": [*config["staking"]["stakers"], [seat, 10**15]]},
    }
    chain = Chain(config)
    chain.build()
    return chain


def ask(chain: Chain, name: str, answer_type: Any, argument: bytes = b"\2\0") -> Any:
    """Ask at the head and decode."""
    return codec(answer_type).decode(answer(chain.state, chain.head, f"SubnetApi_{name}", argument))


def register(hotkey: AccountId, max_price: int = 10**12) -> Call:
    return call("Neurons", "burned_register", NETUID, hotkey, max_price)


def join(chain: Chain, *hotkeys: AccountId) -> None:
    """Register Carol's hotkeys."""
    for hotkey in hotkeys:
        assert chain.build(chain.sign(CAROL, register(hotkey))).errors[-1] is None


def to_block(chain: Chain, number: int) -> None:
    """Build empty blocks."""
    while chain.head.number < number:
        chain.build()


def test_the_metagraph_is_everything_in_one_call() -> None:
    chain = opened()
    join(chain, HOTKEYS[0])
    axon, identity = ("http://1.2.3.4:80", 7), Identity("Carol's", "", "a miner")
    chain.build(
        chain.sign(CAROL, call("Neurons", "set_identity", NETUID, HOTKEYS[0], identity)),
        chain.sign(ALICE, call("Neurons", "serve_axon", NETUID, *axon)),
        chain.sign(BOB, call("Subnets", "set_hyperparameter", NETUID, Parameter.vesting_rounds, 9)),
    )
    chain.build(chain.sign(ALICE, call("Weights", "set_weights", NETUID, [1], [3], 0)))
    minted = sum((REWARD >> number) - (REWARD >> number) // 5 for number in range(1, 5))
    found = ask(chain, "metagraph", Metagraph | None)
    assert minted // 2 - 4 <= found.emission <= minted // 2 + 4
    nobody = {"consensus": 0, "incentive": 0, "dividends": 0, "emission": 0, "prune_rank": None, "vesting": 0}
    judge = NeuronInfo(
        uid=0, hotkey=ALICE.account, coldkey=ALICE.account, name="", stake=10**15, validator_permit=True,
        last_update=4, registered_at=0, immune_until=10, bond=BOND, axon=Axon(*axon, 3), **nobody,
    )  # fmt: skip
    miner = NeuronInfo(
        uid=1, hotkey=HOTKEYS[0], coldkey=CAROL.account, name="Carol's", stake=0, validator_permit=False,
        last_update=0, registered_at=2, immune_until=12, bond=BOND, axon=None, **nobody,
    )  # fmt: skip
    assert found == Metagraph(
        netuid=NETUID, block=4, kind=Kind.Inference, owner=BOB.account, owner_uid=None, created_at=0,
        paused=False, epoch=0, last_epoch=0, next_epoch=EPOCH, emission=found.emission, carried_over=0,
        price=chain.runtime.neurons.price_at(NETUID, 5), hyperparameters=Hyperparameters(**NUMBERS),
        pending_changes=[PendingChange(Parameter.vesting_rounds, 9, EPOCH + 1)], neurons=[judge, miner],
    )  # fmt: skip
    assert chain.runtime.subnets.pending_changes[NETUID, Parameter.vesting_rounds] == 9
    detail = ask(chain, "neuron", NeuronDetail | None, b"\2\0\0\0")
    assert detail == NeuronDetail(NETUID, 4, judge, None, [(1, 65_535)], [], [])
    rows = ask(chain, "weights", WeightRows | None)
    assert rows == WeightRows(NETUID, 4, [JudgeRow(0, ALICE.account, 4, detail.weights)])
    shown = ask(chain, "neuron", NeuronDetail | None, b"\2\0\1\0")
    assert shown == NeuronDetail(NETUID, 4, miner, identity, [], [], [])


def test_all_subnets_are_listed_as_their_metagraphs_say() -> None:
    chain = opened()
    join(chain, HOTKEYS[0])
    networks = ask(chain, "networks", list[NetworkInfo], b"")
    assert [each.netuid for each in networks] == [1, NETUID]
    for each in networks:
        found = ask(chain, "metagraph", Metagraph | None, each.netuid.to_bytes(2, "little"))
        numbers = found.hyperparameters
        assert each == NetworkInfo(
            found.netuid, found.kind, found.owner, found.paused, numbers.max_uids, found.price,
            numbers.uid_bond, numbers.emission_share, found.emission, found.epoch, found.next_epoch,
        )  # fmt: skip


def test_a_price_is_what_the_next_block_burns() -> None:
    chain = opened()
    join(chain, HOTKEYS[0])
    to_block(chain, 7)
    quote = ask(chain, "registration_price", RegistrationPrice | None)
    assert (quote.block, quote.bond, quote.free_uids, quote.replaced_uid, quote.opens_at) == (
        7, BOND, 2, None, None,
    )  # fmt: skip
    forecast = {point.block: point.price for point in quote.curve}
    assert list(forecast) == list(range(8, 72, 4))
    assert (quote.price, min(forecast.values())) == (forecast[8], NUMBERS["burn_min"])
    for block in (8, 12, 16):
        to_block(chain, block)
        assert chain.runtime.neurons.price(NETUID) == forecast[block]
    later = ask(chain, "registration_price", RegistrationPrice | None)
    events = chain.build(chain.sign(CAROL, register(HOTKEYS[1], later.price))).events
    (registered,) = [each.event for each in events if isinstance(each.event, NeuronRegistered)]
    assert registered.burned == later.price
    assert chain.runtime.neurons.price(NETUID) == later.price_after


def test_the_prune_order_is_who_is_replaced() -> None:
    chain = opened()
    join(chain, *HOTKEYS)
    full = ask(chain, "registration_price", RegistrationPrice | None)
    assert (full.free_uids, full.replaced_uid, full.opens_at) == (0, None, 10)  # all are immune
    to_block(chain, 12)
    order = ask(chain, "prune_order", PruneOrder | None)

    def entry(uid: int, hotkey: AccountId, since: int, rank: int | None) -> PruneEntry:
        return PruneEntry(uid, hotkey, 0, since, since + 10, 0, rank)

    ranked = [entry(0, ALICE.account, 0, 0), entry(1, HOTKEYS[0], 2, 1)]
    immune = [entry(2, HOTKEYS[1], 3, None), entry(3, HOTKEYS[2], 4, None)]
    assert order == PruneOrder(NETUID, 12, 0, None, ranked + immune)
    assert ask(chain, "registration_price", RegistrationPrice | None).replaced_uid == 0
    newcomer = AccountId(b"n" * 32)
    events = chain.build(chain.sign(CAROL, register(newcomer))).events
    gone = [each.event.uid for each in events if isinstance(each.event, NeuronDeregistered)]
    assert gone == [0]
    (fresh,) = [
        each for each in ask(chain, "prune_order", PruneOrder | None).entries if each.hotkey == newcomer
    ]
    assert (fresh.immune_until, fresh.immune_epochs) == (23, 1)  # the epoch of block 18 comes before


def test_the_owners_uid_is_in_no_prune_order() -> None:
    chain = opened()
    chain.build(chain.sign(BOB, register(HOTKEYS[0])))
    to_block(chain, 12)
    order = ask(chain, "prune_order", PruneOrder | None)
    assert (order.owner_uid, [each.uid for each in order.entries]) == (1, [0])


def test_sealed_rows_are_listed_until_they_are_opened() -> None:
    chain = opened(commit_reveal=1)
    join(chain, HOTKEYS[0])
    commitment = weights_commitment(ALICE.account, NETUID, 0, [1], [1], SALT, 0)
    chain.build(chain.sign(ALICE, call("Weights", "commit_weights", NETUID, commitment)))
    sealed = WeightCommit(commitment, 0, 1, 3, 0)
    judges = [JudgeCommits(0, ALICE.account, [sealed])]
    assert ask(chain, "pending_commits", PendingCommits | None) == PendingCommits(NETUID, 3, 0, EPOCH, judges)
    assert ask(chain, "neuron", NeuronDetail | None, b"\2\0\0\0").commits == [sealed]
    to_block(chain, EPOCH)
    opening = call("Weights", "reveal_weights", NETUID, [1], [1], SALT, 0)
    assert ask(chain, "check_call", Refusal | None, ALICE.account + CALL.encode(opening)) is None
    assert chain.build(chain.sign(ALICE, opening)).errors[-1] is None
    found = ask(chain, "pending_commits", PendingCommits | None)
    assert found == PendingCommits(NETUID, EPOCH + 1, 1, EPOCH + 20, [])


def test_the_preview_is_what_the_epoch_pays() -> None:
    chain = opened()
    join(chain, HOTKEYS[0])
    chain.build(chain.sign(ALICE, call("Weights", "set_weights", NETUID, [1], [3], 0)))
    to_block(chain, EPOCH - 1)
    preview = ask(chain, "emission_preview", EmissionPreview | None)
    events = [each.event for each in chain.build().events]
    (ran,) = [each for each in events if isinstance(each, EpochRun) and each.netuid == NETUID]
    paid = {
        each.uid: (each.incentive, each.dividend)
        for each in events
        if isinstance(each, EmissionPaid) and each.netuid == NETUID
    }
    assert preview == EmissionPreview(
        NETUID, EPOCH, EPOCH, ran.input_hash, ran.emission, ran.carried, preview.neurons
    )
    assert {each.uid: (each.emission - each.dividend, each.dividend) for each in preview.neurons} == paid
    judge, miner = preview.neurons
    assert judge == Forecast(0, ALICE.account, True, 0, 0, 65_535, 65_535, judge.emission, judge.emission)
    assert miner == Forecast(1, HOTKEYS[0], False, 65_535, 65_535, 0, 0, miner.emission, 0)
    assert judge.emission + miner.emission + preview.carried == preview.emission > 1_000
    assert ask(chain, "metagraph", Metagraph | None).neurons[1].emission == miner.emission


CALLS = {
    "fine": (CAROL, register(HOTKEYS[1])),
    "a price above the limit": (CAROL, register(HOTKEYS[1], 5)),
    "a hotkey that is taken": (CAROL, register(HOTKEYS[0])),
    "another subnet": (CAROL, call("Neurons", "burned_register", 9, HOTKEYS[1], 10**9)),
    "no judge": (CAROL, call("Weights", "set_weights", NETUID, [0], [1], 0)),
    "weights for oneself": (ALICE, call("Weights", "set_weights", NETUID, [0], [1], 0)),
    "no bond": (DAVE, call("Staking", "bond_extra", 10**12)),
    "a root's call": (DAVE, call("Subnets", "pause", NETUID)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_check_says_what_the_block_will_say(name: str) -> None:
    chain = opened()
    join(chain, HOTKEYS[0])
    before = dict(chain.state.entries)
    who, made = CALLS[name]
    refusal = ask(chain, "check_call", Refusal | None, who.account + CALL.encode(made))
    assert chain.state.entries == before
    error = chain.build(chain.sign(who, made)).errors[-1]
    if error is None:
        assert refusal is None
        return
    assert refusal.error == chain.runtime.error_kind(error)
    if name == "a root's call":
        assert (refusal.pallet, refusal.name, refusal.text) == (
            "", "BadOrigin", "The origin may not make this call.",
        )  # fmt: skip
    else:
        assert (refusal.name, refusal.text) == (error.reason.name, error.reason.value)
        assert refusal.pallet in ("Neurons", "Weights", "Subnets", "Staking")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            transfer(BOB, 5),
            "check_call knows the calls of Subnets, Neurons, .*, Training, Verification, not those of",
        ),
        (call("Sudo", "sudo", transfer(BOB, 5)), "not those of Sudo"),
    ],
)
def test_a_check_runs_nothing_that_carries_other_calls(made: Call, why: str) -> None:
    chain = Chain()
    with pytest.raises(ApiTrap, match=why):
        ask(chain, "check_call", Refusal | None, ALICE.account + CALL.encode(made))


def test_what_there_is_not_is_none() -> None:
    chain = Chain()
    for name, function in NATIVE.functions.items():
        if not name.startswith("SubnetApi_") or name in ("SubnetApi_check_call", "SubnetApi_networks"):
            continue
        argument = b"\7\0" * len(function.inputs)
        assert answer(chain.state, chain.head, name, argument) == b"\0"
    assert answer(chain.state, chain.head, "SubnetApi_neuron", b"\1\0\xff\0") == b"\0"
