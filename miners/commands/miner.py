"""Train on the text the chain assigns, publish the update, get paid.

assay miner --key //Miner3                          join the local network
assay miner --key-file PATH --url ws://HOST:PORT    with a key that no list of processes shows
torchrun --nproc-per-node 8 -m miners.miner …       on all GPUs of this machine

One assignment is one paid unit of work.
"""

from dataclasses import dataclass
from typing import Literal

from miners.commands.worker import Worker

MOST_ASY = 1_000_000_000
"""no chain of this kind has more"""

Cheat = Literal[
    "honest", "noise", "sign_flip", "scale_10", "scale_2", "scale_100", "sign_flip_10", "zero", "empty",
    "copy", "copy_most", "copy_third", "stale", "yesterday", "mean_yesterday", "ring", "alie", "ipm",
    "lonely", "lazy_25", "lazy_50", "lazy_75", "sybil", "label_flip", "backdoor", "unassigned", "shuffled",
    "epochs", "faster", "forged_memory", "large_memory", "stale_memory", "nan", "oversized", "bomb",
    "garbage", "truncated", "wrong_base", "mismatch", "late", "silent", "sealed", "withheld",
]  # fmt: skip
"""the names of miners/attacks.py"""


@dataclass(frozen=True, slots=True)
class Config(Worker):
    """Every knob an operator may turn; what is trained, and how, is the subnet's to say."""

    max_price: float = 5.0  # ASY; do not register above this burn
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of products; auto: bf16 on a GPU that has it
    cheat: Cheat = "honest"  # how to cheat, to see the judges at work

    def check(self) -> None:
        """Refuse flags that make no sense.

        Raises: ValueError.
        """
        Worker.check(self)
        if not 0 <= self.max_price <= MOST_ASY:
            raise ValueError(f"--max-price is {self.max_price}, must be 0 to {MOST_ASY}")
