"""The chain that a simulated network runs: staked validators, short sessions, no market for AI work.

Everything about it follows from how many validators there are and what is behind each of them, so that many
seeds share one genesis.
"""

import json
from collections.abc import Sequence
from functools import lru_cache

from chain.consensus.grandpa.round import VoterSet
from chain.keys.keystore import KEY_KINDS
from chain.keys.pair import Keypair
from chain.spec import ChainSpec
from runtime.primitives import ss58
from runtime.primitives.authority_weights import authority_weights
from runtime.primitives.hashing import blake2_256

ASY = 10**12
SLOT_MS = 2_000
SESSION_SLOTS = 8
UNIT = 10_000 * ASY
"""planck behind a validator of weight 1"""
RICHES = 10**6 * ASY
MOST_VALIDATORS = 200


@lru_cache(maxsize=4096)
def session_secret(name: str, generation: int = 0) -> str:
    """Return the secret of a validator's session keys, as a keystore holds it; others follow by rotation."""
    return "0x" + blake2_256(f"session {name} {generation}".encode()).hex()


@lru_cache(maxsize=4096)
def session_pair(name: str, generation: int = 0) -> Keypair:
    """Return a validator's session key: BABE's and GRANDPA's."""
    return Keypair.from_suri(session_secret(name, generation), "ed25519")


@lru_cache(maxsize=4096)
def stash_pair(name: str) -> Keypair:
    """Return the account of a validator or a nominator; ed25519, whose signatures are no matter of chance."""
    return Keypair.from_suri("0x" + blake2_256(f"stash {name}".encode()).hex(), "ed25519")


def address(name: str) -> str:
    """Return an account as people write it."""
    return ss58.encode(stash_pair(name).account)


@lru_cache(maxsize=64)
def spec_of(
    weights: tuple[int, ...], spare: int = 0, session_slots: int = SESSION_SLOTS, chain_type: str = "Local"
) -> ChainSpec:
    """Return a chain with validators v0, v1, ... of these weights, and as many who may join them later.

    Of a Live chain a node lets no key sign that has no guard record; a Local one makes it.
    """
    names = [f"v{index}" for index in range(len(weights))]
    everybody = [*names, *(f"v{len(weights) + index}" for index in range(spare)), *nominators(spare)]
    keys = {name: "0x" + session_pair(name).public.hex() for name in names}
    config = {
        "constants": constants(session_slots),
        "balances": {"balances": [[address(name), RICHES] for name in everybody]},
        "session": {
            "keys": [[address(name), dict.fromkeys(("babe", "grandpa"), keys[name])] for name in names]
        },
        "staking": {
            "validator_count": MOST_VALIDATORS,
            "min_validator_bond": 1_000 * ASY,
            "min_nominator_bond": 10 * ASY,
            "slash_reward_fraction": 100_000_000,
            "stakers": [[address(name), weight * UNIT] for name, weight in zip(names, weights, strict=True)],
        },
        "sudo": {"key": address("v0")},
    }
    source = {
        "name": "Simulated",
        "id": "sim",
        "chainType": chain_type,
        "properties": {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "ASY"},
        "genesis": {"runtimeGenesis": {"config": config}},
    }
    spec = ChainSpec.parse(json.dumps(source), "the simulated chain")
    raw = {**source, "genesis": spec.raw()["genesis"]}
    return ChainSpec.parse(json.dumps(raw), "the simulated chain")


def nominators(spare: int) -> list[str]:
    """Return the accounts that may bond and nominate."""
    return [f"n{index}" for index in range(3 * spare)]


def voters_of(weights: Sequence[int]) -> VoterSet:
    """Return who votes at genesis, with the weights that the runtime gives them."""
    stakes = authority_weights([weight * UNIT for weight in weights])
    return VoterSet([(session_pair(f"v{index}").public, weight) for index, weight in enumerate(stakes)])


def constants(session_slots: int) -> dict[str, dict[str, int]]:
    """Return what differs from the runtime's defaults."""
    return {
        "Babe": {"EpochDuration": session_slots, "ExpectedBlockTime": SLOT_MS},
        "Timestamp": {"MinimumPeriod": SLOT_MS // 2},
        "Balances": {"ExistentialDeposit": ASY // 1_000},
        "Staking": {"SessionsPerEra": 2, "BondingDuration": 2, "SlashDeferDuration": 1},
        "Incentive": {"BlockReward": ASY, "HalvingInterval": 1_000_000},
    }


def keystore_files(name: str, generations: tuple[int, ...] = (0,)) -> dict[str, bytes]:
    """Return the files of a validator's keystore."""
    return {
        kind.hex() + session_pair(name, each).public.hex(): json.dumps(session_secret(name, each)).encode()
        for each in generations
        for kind in KEY_KINDS
    }
