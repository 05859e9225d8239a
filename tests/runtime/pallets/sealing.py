"""A market in which rows of weights are sealed, for the tests of this directory."""

from dataclasses import dataclass, field
from typing import Any

from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.primitives.commitments import weights_commitment
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.market import (
    CAROL,
    DAVE,
    EVE,
    HOT_CAROL,
    HOT_DAVE,
    INFERENCE,
    NUMBERS,
    genesis,
    market,
    text,
)

RICH = 10**30
TEMPO = 20
EPOCH = 18
"""The inference subnet's first epoch; then every 20 blocks."""


@dataclass(frozen=True)
class Ballot:
    """A row that a hotkey seals and opens, and what it is sealed with."""

    hotkey: AccountId
    uids: list[int] = field(default_factory=lambda: [2, 3])
    values: list[int] = field(default_factory=lambda: [30, 10])
    epoch: int = 0
    salt: bytes = b"s" * 32
    version_key: int = 0

    def commitment(self) -> Hash:
        """Return what seals it."""
        return weights_commitment(
            self.hotkey, INFERENCE, self.epoch, self.uids, self.values, self.salt, self.version_key
        )

    def opening(self) -> tuple[Any, ...]:
        """Return what opens it."""
        return ("Weights", "reveal_weights", INFERENCE, self.uids, self.values, self.salt, self.version_key)


def sealed_market(**numbers: int) -> Externalities:
    """Return the market with an inference subnet of sealed rows; Carol mines as uid 2, Dave as uid 3."""
    config = genesis()
    chosen = NUMBERS | {"commit_reveal": 1} | numbers
    config["subnets"][INFERENCE] = {"kind": "Inference", "owner": text(EVE), "hyperparameters": chosen}
    ext = market(**config)
    for coldkey, hotkey in ((CAROL, HOT_CAROL), (DAVE, HOT_DAVE)):
        assert_ok(ext, coldkey, "Neurons", "burned_register", INFERENCE, hotkey, RICH)
    ext.run_to_block(3)
    return ext


def to_epoch(ext: Externalities, index: int) -> None:
    """Open the block after the epoch that makes `index` of them."""
    ext.run_to_block(EPOCH + TEMPO * (index - 1) + 1)
    assert ext.runtime.incentive.epochs_run(INFERENCE) == index


def seal(ext: Externalities, ballot: Ballot) -> None:
    """Seal a row."""
    assert_ok(ext, ballot.hotkey, "Weights", "commit_weights", INFERENCE, ballot.commitment())


def unseal(ext: Externalities, ballot: Ballot) -> None:
    """Open a row."""
    assert_ok(ext, ballot.hotkey, *ballot.opening())


def refused(ext: Externalities, ballot: Ballot, error: Any, who: AccountId | None = None) -> None:
    """See that a row cannot be opened, and that trying changes nothing."""
    assert_noop(ext, who or ballot.hotkey, *ballot.opening(), error=error)
