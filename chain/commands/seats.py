"""The validators that a genesis begins with: who they are, their stakes, their place as judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain.keys.pair import Keypair
from runtime.primitives import ss58

NETUID = "1"
"""the training subnet of the presets"""


@dataclass(frozen=True, slots=True)
class Seat:
    """One validator of a genesis."""

    stash: str  # SS58; it judges, too
    babe: str  # 0x-prefixed public key
    grandpa: str

    @classmethod
    def of(cls, name: str) -> "Seat":
        """Return a development validator, such as Alice."""
        key = "0x" + Keypair.from_suri(f"//{name}", "ed25519").public.hex()
        return cls(ss58.encode(Keypair.from_suri(f"//{name}", "sr25519").public), key, key)


def take(config: dict[str, Any], seats: Sequence[Seat]) -> None:
    """Give a genesis these validators instead of its own, each with the stake that the first of those has."""
    (_, stake), *_ = config["staking"]["stakers"]
    config["session"]["keys"] = [[each.stash, {"babe": each.babe, "grandpa": each.grandpa}] for each in seats]
    config["staking"]["stakers"] = [[each.stash, stake] for each in seats]
    config["neurons"][NETUID] = [{"hotkey": each.stash, "coldkey": each.stash} for each in seats]
    config["incentive"][NETUID] = list(range(len(seats)))
