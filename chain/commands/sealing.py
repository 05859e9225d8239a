"""Commit to a row of weights and open it in its epoch, over crashes: `assay weights` and the chain.

    on disk, with its salt -> commit_weights is final -> its epoch comes -> reveal_weights -> forgotten

Whatever happens in between, `open_rows` finds on the chain how far a row has come and goes on from there.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.client import Chain, Head, Refused
from chain.commands.failure import Failure
from chain.commands.sealed import SealedRow, SealedRows
from chain.commands.talk import there_is_no

U16_MAX = 65_535
NOT_SEALED = ("NotCommitted", "CommitmentMismatch")
"""What opening a row is refused with before it is sealed, or once it is open."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: "set", "sealed", "unsent", "replaced", "revealed", "refused" or "missed"."""

    state: str
    block: int | None = None
    epoch: int | None = None
    reveal_epoch: int | None = None
    why: str | None = None

    @property
    def is_bad(self) -> bool:
        """Say whether somebody has to look at it."""
        return self.state in ("refused", "missed")

    def to_json(self, netuid: int) -> str:
        """Return one JSON object."""
        shown = {"netuid": netuid, "state": self.state, "block": self.block, "epoch": self.epoch}
        return json.dumps(shown | {"revealEpoch": self.reveal_epoch, "why": self.why})

    def text(self, netuid: int) -> str:
        """Return one sentence."""
        if self.state == "set":
            return f"weights are set in subnet {netuid}, block #{self.block}"
        row = f"the row sealed in epoch {self.epoch} of subnet {netuid}"
        match self.state:
            case "sealed":
                return f"{row} opens in epoch {self.reveal_epoch}: `assay weights reveal` does it then"
            case "unsent":
                return f"{row} is not on the chain yet: `assay weights reveal` goes on with it"
            case "replaced":
                return f"{row} is not sent: this hotkey has sealed another one since"
            case "revealed":
                return f"{row} is open, block #{self.block}"
            case "refused":
                return f"{row} stays on disk, for `assay weights reveal` in its epoch: {self.why}"
        return f"{row} counts for nothing: the chain took it too late, or it was not opened in its epoch"


@dataclass(frozen=True, slots=True)
class View:
    """What the final chain says: the epoch of a subnet, and what this hotkey has sealed, by commitment."""

    at: Head
    epoch: int
    commits: Mapping[str, Json]


async def check_row(chain: Chain, sealed: SealedRow) -> None:
    """Refuse now what could not be opened later.

    Raises: Refused.
    """
    try:
        await chain.check("Weights.reveal_weights", **sealed.opening())
    except Refused as refused:
        if refused.name not in NOT_SEALED:
            raise


async def seal(chain: Chain, rows: SealedRows, sealed: SealedRow) -> Outcome:
    """Commit to a row whose salt is on disk by then; who comes more than an epoch late has missed it.

    Raises: Refused.
    """
    asked = {"netuid": sealed.netuid, "commitment": sealed.commitment}
    await chain.check("Weights.commit_weights", **asked)
    rows.put(sealed)
    try:
        receipt = await chain.submit("Weights.commit_weights", **asked)
    except Refused as refused:
        if not refused.code:  # by a final block, so no other one will take it
            rows.remove(sealed)
        raise
    made = next(values for name, values in receipt.events if name == "Weights.WeightsCommitted")
    if made["epoch"] > sealed.epoch + 1:
        rows.remove(sealed)
        return Outcome("missed", receipt.block.number, sealed.epoch)
    return Outcome("sealed", receipt.block.number, made["epoch"], made["reveal_epoch"])


async def open_rows(
    chain: Chain, rows: SealedRows, waiting: list[SealedRow], *, waits: bool
) -> list[Outcome]:
    """Open each row in its epoch, and send what a crash kept from being sent; `waits` until all is done.

    A row that is refused keeps no other one from being opened.

    Raises: Failure.
    """
    done: list[Outcome] = []
    screen, netuid, waiting = Screen(), waiting[0].netuid, list(waiting)
    async for head in chain.finalized():
        pending = await chain.rpc("subnet_pendingCommits", netuid, head.hash)
        if pending is None:
            raise Failure(there_is_no(netuid))
        commits = {
            commit["commitment"]: commit
            for judge in pending["judges"]
            if judge["hotkey"] == chain.address
            for commit in judge["commits"]
        }
        view = View(head, pending["epoch"], commits)
        for sealed in list(waiting):
            try:
                outcome = await _advance(chain, rows, sealed, view)
            except Refused as refused:
                outcome = Outcome("refused", None, sealed.epoch, why=str(refused))
            if outcome is not None:
                done.append(outcome)
                waiting.remove(sealed)
        if not waiting or not waits:
            break
        screen.show(waiting, commits, pending)
    screen.clear()
    return done + [_as_it_stands(each, commits.get(each.commitment)) for each in waiting]


def _as_it_stands(sealed: SealedRow, commit: Json | None) -> Outcome:
    if commit is None:
        return Outcome("unsent", None, sealed.epoch)
    return Outcome("sealed", commit["committedAt"], commit["epoch"], commit["revealEpoch"])


async def _advance(chain: Chain, rows: SealedRows, sealed: SealedRow, view: View) -> Outcome | None:
    """Do what can be done about a row now; return what became of it, None while it has to wait."""
    commit = view.commits.get(sealed.commitment)
    if commit is None:
        return await _recover(chain, rows, sealed, view)
    if commit["revealEpoch"] != view.epoch:
        return None
    try:
        await chain.check("Weights.reveal_weights", **sealed.opening())
        receipt = await chain.submit("Weights.reveal_weights", **sealed.opening())
    except Refused as refused:
        if refused.name in (*NOT_SEALED, "TooLate"):  # a block that is not final yet has decided: wait for it
            return None
        raise
    rows.remove(sealed)
    return Outcome("revealed", receipt.block.number, commit["epoch"], commit["revealEpoch"])


async def _recover(chain: Chain, rows: SealedRows, sealed: SealedRow, view: View) -> Outcome | None:
    """Go on with a row that is not sealed on the final chain: unsent, on its way, open already, or too late.

    A row is forgotten only when no block can make it count any more, or a later one took its place.
    """
    if view.epoch < sealed.epoch:
        return None  # the final chain is behind the block for which it was made
    since = await _open_since(chain, sealed, view.at) if view.epoch > sealed.epoch else None
    if since is None and view.epoch <= sealed.epoch + 1:  # where the chain still takes its commitment
        if any(other["epoch"] >= sealed.epoch for other in view.commits.values()):
            rows.remove(sealed)
            return Outcome("replaced", None, sealed.epoch)
        try:
            await seal(chain, rows, sealed)
        except Refused as refused:
            if refused.name != "AlreadyCommitted":  # this row, not final yet; or another one in its place
                raise
        return None
    rows.remove(sealed)
    return Outcome("missed" if since is None else "revealed", since, sealed.epoch)


async def _open_since(chain: Chain, sealed: SealedRow, at: Head) -> int | None:
    """Return the block of this epoch that put this row in force; it may have lost entries since."""
    uid = await chain.query("Neurons.Uids", sealed.netuid, chain.address, at=at)
    found = None if uid is None else await chain.rpc("subnet_neuron", sealed.netuid, uid, at.hash)
    began = await chain.query("Incentive.LastEpoch", sealed.netuid, at=at)
    if found is None or not found["weights"] or found["neuron"]["lastUpdate"] < began:
        return None
    values = dict(zip(sealed.uids, sealed.values, strict=True))
    kept = {uid: values.get(uid, 0) for uid, _ in found["weights"]}
    largest = max(kept.values())
    if not largest:
        return None
    row = [[uid, (2 * value * U16_MAX + largest) // (2 * largest)] for uid, value in sorted(kept.items())]
    return int(found["neuron"]["lastUpdate"]) if row == found["weights"] else None


class Screen:
    """Says on standard error what is waited for: one line that moves, or one at all if nobody looks."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, waiting: list[SealedRow], listed: Mapping[str, Json], pending: Json) -> None:
        """Show how long it takes until the first row opens."""
        epochs = [listed[each.commitment]["revealEpoch"] for each in waiting if each.commitment in listed]
        opens = f"sealed, opens in epoch {min(epochs)}" if epochs else "on its way to the chain"
        left = pending["nextEpoch"] - pending["block"]
        text = f"{opens}; epoch {pending['epoch']} ends in {left} blocks; Ctrl-C loses nothing"
        if sys.stderr.isatty():
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
        elif not self._width:
            print(text, file=sys.stderr, flush=True)
        self._width = len(text)

    def clear(self) -> None:
        """Leave the line empty."""
        if self._width and sys.stderr.isatty():
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
