"""Check the miners' work and score it; the node beside this process secures the chain.

assay validator --url ws://127.0.0.1:9944 --key //Alice

Scores are committed before they are revealed, so no judge can copy another's.
"""

from dataclasses import dataclass
from typing import Literal

from miners.commands.worker import Worker


@dataclass(frozen=True, slots=True)
class Config(Worker):
    """Every knob an operator may turn; what is judged, and how, is the subnet's to say."""

    key: str = "//Alice"  # secret URI of the hotkey
    blob_quota: float = 100.0  # GiB of disk for payloads
    blobs: Literal["recent", "archive"] = "recent"  # archive keeps what did not enter the model, too
