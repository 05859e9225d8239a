"""Write dev.json and local.json.

    python -m genesis.generate

Accounts and keys come from the well-known development phrase, the first model of subnet 1 from its own
definition. Amounts are planck, durations blocks or slots.
"""

import json
import re
from pathlib import Path
from typing import Any

from chain.keys.pair import Keypair
from miners.layout import ModelConfig
from miners.parameters import TrainingParameters
from miners.replica import genesis_weights
from runtime.primitives import ss58

HERE = Path(__file__).parent
ASY = 10**12
BILLION = 10**9
NETUID = "1"
PRESETS = {"dev": ("Assay Development", "Development"), "local": ("Assay Local", "Local")}
DEVELOPERS = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
MINERS = tuple(f"Miner{number}" for number in range(1, 9))
JUDGES = ("Alice", "Bob")
AUTHOR = "Alice"
PROVIDER = "Provider"
SLOT_MS = 2_000
STAKE = 10_000 * ASY
VALIDATOR_COUNT = 64
"""Room for everybody who bonds on a chain of this size."""


def main() -> None:
    """Write every preset."""
    for identifier in PRESETS:
        (HERE / f"{identifier}.json").write_text(render(identifier))


def render(identifier: str) -> str:
    """Return a preset's text, one pair to a line."""
    name, chain_type = PRESETS[identifier]
    spec: dict[str, Any] = {
        "name": name,
        "id": identifier,
        "chainType": chain_type,
        "bootNodes": [],
        "telemetryEndpoints": None,
        "protocolId": "assay",
        "properties": {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "ASY"},
        "codeSubstitutes": {},
        "genesis": {"runtimeGenesis": {"config": config()}},
    }
    text = json.dumps(spec, indent=2)
    return re.sub(r"\[\s+([^\[\]{}\s]+),\s+([^\[\]{}\s]+)\s+\]", r"[\1, \2]", text) + "\n"


def config() -> dict[str, Any]:
    """Return the genesis of every pallet; development and local chains are the same but for their names."""
    return {
        "constants": constants(),
        "balances": {
            "balances": [
                *([address(name), 1_000_000 * ASY] for name in DEVELOPERS),
                *([address(name), 10_000 * ASY] for name in (*MINERS, PROVIDER)),
            ]
        },
        "session": {
            "keys": [[address(AUTHOR), {"babe": session_key(AUTHOR), "grandpa": session_key(AUTHOR)}]]
        },
        "staking": {
            "validator_count": VALIDATOR_COUNT,
            "min_validator_bond": 1_000 * ASY,
            "min_nominator_bond": 10 * ASY,
            "slash_reward_fraction": BILLION // 10,
            "stakers": [[address(name), STAKE] for name in JUDGES],
        },
        "sudo": {"key": address("Alice")},
        "subnets": {
            NETUID: {"kind": "Training", "owner": address(PROVIDER), "hyperparameters": hyperparameters()}
        },
        "neurons": {NETUID: [{"hotkey": address(name), "coldkey": address(name)} for name in JUDGES]},
        "incentive": {NETUID: list(range(len(JUDGES)))},
        "training": {NETUID: {"model_root": "0x" + genesis_weights(int(NETUID), ModelConfig()).root().hex()}},
    }


def constants() -> dict[str, dict[str, int]]:
    """Return what these chains set otherwise than the runtime's defaults."""
    return {
        "Babe": {"EpochDuration": 30, "ExpectedBlockTime": SLOT_MS},
        "Timestamp": {"MinimumPeriod": SLOT_MS // 2},
        "Balances": {"ExistentialDeposit": ASY // 1_000},
        "Staking": {"SessionsPerEra": 2, "BondingDuration": 2, "SlashDeferDuration": 1},
        "Incentive": {"BlockReward": ASY, "HalvingInterval": 1_000_000},
        "Neurons": {"PublicAxons": False},
    }


def hyperparameters() -> dict[str, int]:
    """Return the rules of subnet 1: short windows, and what miners and judges train with."""
    return {
        "tempo": 20,
        "immunity_period": 100,
        "activity_cutoff": 200,
        "freeze_window": 2,
        "burn_start": ASY,
        "burn_min": ASY // 10,
        "burn_max": 1_000 * ASY,
        "burn_half_life": 60,
        "uid_bond": 500 * ASY,
        "train_window": 15,
        "reveal_window": 4,
        "score_commit_window": 10,
        "score_reveal_window": 4,
        "attest_window": 5,
        "weights_rate_limit": 10,
        "serving_rate_limit": 5,
        "vesting_rounds": 0,
        **TrainingParameters().to_integers(),
    }


def address(name: str) -> str:
    """Return the address of a development account."""
    return ss58.encode(Keypair.from_suri(f"//{name}", "sr25519").public)


def session_key(name: str) -> str:
    """Return the session key, BABE's and GRANDPA's, of a development account."""
    return "0x" + Keypair.from_suri(f"//{name}", "ed25519").public.hex()


if __name__ == "__main__":
    main()
