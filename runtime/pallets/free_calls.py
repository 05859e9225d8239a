"""CheckFreeCalls: the calls of a round cost nothing, so nothing but the right one at the right time gets in.

    1   not registered            2   wrong round          3   wrong phase         4   done already
    5   no validator permit       6   beacon pending       7   nothing committed   8   commitment mismatch
    9   payload length            10  scores               11  no training subnet
    12  not drawn                 13  verdict

A refusal reads `Custom error: N (cause: remedy)`; the sentence is that of the pallet's own error. The checks
are the calls' own, made again before inclusion, so a free call that gets into a block succeeds.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from runtime.frame.errors import DispatchError, PalletError
from runtime.frame.extension import Extension, Standing, Submission
from runtime.pallets.model_updates import types as model_updates
from runtime.pallets.model_updates.pallet import ModelUpdates
from runtime.pallets.training import types as training
from runtime.pallets.training.pallet import Training
from runtime.pallets.verification import types as verification
from runtime.pallets.verification.pallet import Verification
from runtime.primitives.scale import Codec, codec
from runtime.primitives.shapes import u8, u16, u32
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import AccountId

NUMBERS: dict[PalletError, int] = {
    training.Error.NotRegistered: 1,
    training.Error.WrongRound: 2,
    training.Error.WrongPhase: 3,
    training.Error.AlreadyAttested: 4,
    model_updates.Error.AlreadyCommitted: 4,
    model_updates.Error.AlreadyRevealed: 4,
    verification.Error.AlreadyCommitted: 4,
    verification.Error.AlreadyRevealed: 4,
    training.Error.NoPermit: 5,
    training.Error.BeaconPending: 6,
    model_updates.Error.NotCommitted: 7,
    verification.Error.NotCommitted: 7,
    model_updates.Error.CommitmentMismatch: 8,
    verification.Error.CommitmentMismatch: 8,
    model_updates.Error.EmptyPayload: 9,
    model_updates.Error.PayloadTooLarge: 9,
    verification.Error.DuplicateUid: 10,
    verification.Error.OwnUid: 10,
    verification.Error.UnknownUpdate: 10,
    verification.Error.TooMuch: 10,
    training.Error.NotTraining: 11,
    verification.Error.NotDrawn: 12,
    verification.Error.NotJuror: 12,
    verification.Error.VerdictMismatch: 13,
}
"""What clients match on: the numbers never change."""

EARLY = (2, 3, 6)
"""Round, phase and beacon come when they come: a call sent before them is good later, as it is."""

PRIORITY = 1 << 62
"""Rounds have deadlines, and each uid has one of these calls at a time: no tip outbids them."""
TAG = codec(tuple[u8, u8, u16, u32, AccountId])
"""Pallet, call, netuid, round, sender: a second such call of the same round waits in no pool."""
ABOUT: dict[str, tuple[int, Codec[Any]]] = {
    "report_audit": (3, codec(tuple[AccountId])),
    "vote_challenge": (4, codec(tuple[u16, AccountId])),
}
"""Calls that a sender may make several times in a round: up to which argument says about whom."""


class CheckFreeCalls(Extension):
    """Refuses a free call that its pallet would refuse; the last extension, without bytes of its own."""

    model_updates: ModelUpdates
    training: Training
    verification: Verification

    def check(self, submission: Submission, extra: Any) -> None:
        """Refuse what would fail."""
        call = submission.call
        check = self._checks.get((call.pallet, call.index))
        if check is None:
            return
        try:
            check(submission.sender, *call.arguments)
        except DispatchError as refused:
            raise rejection(refused, call.arguments[0]) from refused

    def rank(self, submission: Submission, extra: Any, standing: Standing) -> None:
        """Tell the pool that what is free is urgent, unique and short-lived."""
        call = submission.call
        if (call.pallet, call.index) not in self._checks:
            return
        netuid, round = call.arguments[:2]
        standing.priority = max(standing.priority, PRIORITY)
        tag = TAG.encode((call.pallet, call.index, netuid, round, submission.sender))
        end, about = self._about.get((call.pallet, call.index), (0, None))
        if about is None:
            standing.longevity = min(standing.longevity, self.training.blocks_left(netuid))
        else:
            tag += about.encode(tuple(call.arguments[2:end]))
        standing.provides.append(tag)

    @cached_property
    def _checks(self) -> dict[tuple[int, int], Callable[..., object]]:
        """The check of each free call by the indices of pallet and call."""
        named: dict[tuple[int, str], Callable[..., object]] = {
            (self.model_updates.index, "commit"): self.model_updates.check_commit,
            (self.model_updates.index, "reveal"): self.model_updates.check_reveal,
            (self.verification.index, "commit_scores"): self.verification.check_commit_scores,
            (self.verification.index, "reveal_scores"): self.verification.check_reveal_scores,
            (self.verification.index, "report_audit"): self.verification.check_report_audit,
            (self.verification.index, "vote_challenge"): self.verification.check_vote_challenge,
            (self.training.index, "attest_root"): self.training.check_attest_root,
        }
        return {self._places[name]: check for name, check in named.items()}

    @cached_property
    def _about(self) -> dict[tuple[int, int], tuple[int, Codec[Any] | None]]:
        """What else the tag of a call says, by the indices of pallet and call."""
        return {self._places[self.verification.index, name]: about for name, about in ABOUT.items()}

    @cached_property
    def _places(self) -> dict[tuple[int, str], tuple[int, int]]:
        return {(place[0], target.spec.name): place for place, target in self.runtime.targets.items()}


def rejection(refused: DispatchError, netuid: int) -> TransactionRejected:
    """Return a pallet's refusal as the pool says it."""
    text = refused.reason.value.replace("<netuid>", str(netuid))
    number = NUMBERS[refused.reason]
    return TransactionRejected("invalid", "Custom", number, text, early=number in EARLY)
