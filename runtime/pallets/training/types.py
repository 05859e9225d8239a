"""What a round of a training subnet is: phases, stored values, events and errors."""

import enum
from typing import Annotated

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.primitives.shapes import Bounded, struct, u16, u32
from runtime.primitives.types import AccountId, BlockNumber, Hash

Url = Annotated[str, Bounded(256)]


class Phase(enum.Enum):
    """What a round waits for. The phase map of a subnet never says Closed or Void; between rounds, Idle."""

    __scale_path__ = "pallet_training::types::Phase"

    Idle = 0
    Train = 1
    Reveal = 2
    ScoreCommit = 3
    ScoreReveal = 4
    Attest = 5
    Closed = 6
    Void = 7


ENDED = (Phase.Closed, Phase.Void)
"""A round in one of these never changes again."""


class VoidReason(enum.Enum):
    """Why a round left the model as it was."""

    __scale_path__ = "pallet_training::types::VoidReason"

    NoCommits = 0
    NoReveals = 1
    NoBeacon = 2
    NoScores = 3
    NothingAccepted = 4
    NoMajority = 5
    Paused = 6


@struct("pallet_training::types::Accepted")
class Accepted:
    """A payload that enters the model, and its weight in the aggregate."""

    uid: u16
    hotkey: AccountId
    digest: Hash
    weight: u16


@struct("pallet_training::types::Round")
class Round:
    """One training cycle; `deadline` is the first block in which its phase is over at the latest.

    That of a void round is the first in which the next one may open.
    """

    phase: Phase
    base_root: Hash
    data_root: Hash
    beacon0: Hash
    beacon1: Hash | None
    opened_at: BlockNumber
    phase_since: BlockNumber
    deadline: BlockNumber
    expected_miners: list[u16]
    expected_judges: list[u16]
    accepted: list[Accepted]
    new_root: Hash | None
    inner_steps: u32  # H: optimiser steps of each miner in this round
    parameters: u32  # version in ParameterSets of what else it is made of


@struct("pallet_training::types::LineageEntry")
class LineageEntry:
    """One step of the model: from which root, through which payloads, to which root."""

    base_root: Hash
    new_root: Hash
    accepted: list[Accepted]
    parameters: u32  # version in ParameterSets of what the round was made of


@struct("pallet_training::types::Dataset")
class Dataset:
    """The manifest everybody trains on, and where its provider serves it."""

    root: Hash
    url: Url
    registered_at: BlockNumber


@event
class RoundOpened:
    """A round began: the beacon says who trains on what."""

    netuid: u16
    round: u32
    base_root: Hash
    beacon0: Hash


@event
class PhaseChanged:
    """A round entered a phase, or its second beacon was drawn."""

    netuid: u16
    round: u32
    phase: Phase
    deadline: BlockNumber
    beacon1: Hash | None
    accepted: list[Accepted]


@event
class RoundClosed:
    """The judges agree on a new model."""

    netuid: u16
    round: u32
    new_root: Hash
    accepted: u16


@event
class RoundVoided:
    """A round ended without a new model; its emission is carried over."""

    netuid: u16
    round: u32
    reason: VoidReason


@event
class DatasetSet:
    """The next round to open trains on another data set."""

    netuid: u16
    root: Hash
    url: Url


@event
class RootAttested:
    """A judge says which model the accepted payloads lead to."""

    netuid: u16
    round: u32
    judge: u16
    root: Hash


@event
class CheckpointAttested:
    """So many rounds have closed that who joins may begin with this model."""

    netuid: u16
    round: u32
    root: Hash


@event
class ModelFounded:
    """The subnet's first round will begin with this model."""

    netuid: u16
    root: Hash


class Error(PalletError):
    """Why a call in a round is refused; <netuid> stands for the subnet's number."""

    NotTraining = "This netuid is no training subnet: read Subnets.Networks for those there are."
    NotRegistered = "This hotkey is not registered in the subnet: assay register --netuid <netuid>."
    WrongRound = "This is not the subnet's current round: read Training.CurrentRound and act in that one."
    WrongPhase = "The round is not in the phase this call belongs to: follow Training.Phase."
    NoPermit = "This hotkey has no validator permit: add stake and wait for the subnet's next epoch."
    BeaconPending = "The round's second beacon is not drawn yet: wait for PhaseChanged with beacon1."
    AlreadyAttested = (
        "This judge has attested in this round: one attestation counts, wait for the next round."
    )
    NotOwner = "Only the subnet's owner names its data set and first model: sign with the owner's coldkey."
    InvalidUrl = (
        "The url must be http:// or https:// with a host, maybe a port, printable ASCII without spaces; "
        "correct it."
    )
    RoundsBegan = "A round has opened, and its model goes on: create another subnet for another model."
