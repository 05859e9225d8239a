"""Genesis: the presets are sound, and the manifest says which runtime they want."""

import json
from importlib.resources import files

import pytest

from genesis.generate import PRESETS, render
from runtime.frame.executive import genesis_header
from runtime.frame.metadata.v14 import metadata
from runtime.frame.state import EmptyState, Overlay
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.primitives.hashing import blake2_256
from runtime.primitives.manifest import CODE_KEY
from runtime.primitives.ss58 import account_of
from runtime.primitives.trie import trie_root
from runtime.runtime import EXTENSIONS, VERSION, AssayRuntime
from tests.runtime.bench import preset


@pytest.mark.parametrize("name", ["dev", "local"])
def test_a_preset_holds_its_invariants(name: str) -> None:
    state = MemoryState(genesis_state(preset(name), name))
    runtime = AssayRuntime.reading(state)
    runtime.try_state()
    endowed = {account_of(who): amount for who, amount in preset(name)["balances"]["balances"]}
    held = {who: runtime.balances.free(who) + runtime.balances.reserved(who) for who in endowed}
    assert held == endowed
    assert runtime.system.number.get() == 0
    assert runtime.system.events.get() == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_generator_writes(name: str) -> None:
    assert files("genesis").joinpath(f"{name}.json").read_text() == render(name)


def test_the_manifest_names_runtime_and_metadata() -> None:
    state = MemoryState(genesis_state(preset(), "local"))
    described = metadata(AssayRuntime(Overlay(EmptyState())), EXTENSIONS)
    assert json.loads(state.entries[CODE_KEY]) == {
        "metadata": "0x" + blake2_256(described).hex(),
        "preset": "local",
        "spec_name": VERSION.spec_name,
        "spec_version": VERSION.spec_version,
        "transaction_version": VERSION.transaction_version,
    }


def test_genesis_is_the_same_whatever_the_order_of_its_sections() -> None:
    config = preset()
    backwards = dict(reversed(config.items()))
    assert genesis_state(config, "x") == genesis_state(backwards, "x")


def test_a_constant_of_the_chain_overrides_the_runtimes() -> None:
    config = preset()
    config["constants"] = {**config["constants"], "Balances": {"ExistentialDeposit": 77}}
    state = genesis_state(config, "x")
    assert AssayRuntime.reading(MemoryState(state)).balances.existential_deposit == 77
    assert trie_root(state) != trie_root(genesis_state(preset(), "x"))


TWICE = {
    "balances.balances": lambda config: config["balances"]["balances"],
    "session.keys": lambda config: config["session"]["keys"],
    "staking.stakers": lambda config: config["staking"]["stakers"],
}


@pytest.mark.parametrize("section", TWICE)
def test_an_account_that_is_listed_twice_is_refused(section: str) -> None:
    config = preset()
    listed = TWICE[section](config)
    who, amount = listed[0]
    listed.append([who, amount])
    with pytest.raises(ValueError, match=f"{section} lists {who} twice: keep one entry"):
        genesis_state(config, "x")
    listed[-1] = ["0x" + account_of(who).hex(), amount]
    with pytest.raises(ValueError, match=f"{section} lists 0x[0-9a-f]* twice, first as {who}"):
        genesis_state(config, "x")


def test_block_zero_is_a_plain_header_over_the_state() -> None:
    header = genesis_header(trie_root(genesis_state(preset(), "local")))
    assert (header.number, header.parent_hash, header.digest.logs) == (0, bytes(32), [])
