"""What a worker says of a round or an audit: one line for people, and the numbers it is made of."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chain.amounts import PLANCK
from chain.common.hashes import ends
from chain.verdicts import VOID_REASONS, Outcome
from miners.diary import Judging, Page

PERCENT = 10_000
"""ppm in one percent"""

Json = Mapping[str, Any]
"""values of an event, or what the node answers"""


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that people want to know; `round` is None where it belongs to none."""

    event: str
    round: int | None
    text: str
    values: dict[str, Any] = field(default_factory=dict)
    level: int = logging.INFO
    burnt: int = 0  # planck of this hotkey's

    @property
    def line(self) -> str:
        """The line of the log."""
        return self.text if self.round is None else f"round {self.round:05d} | {self.text}"

    def to_json(self) -> str:
        """Return one JSON object on one line."""
        about = {"event": self.event, "round": self.round}
        return json.dumps({**about, **self.values, "text": self.text}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a round ended, as the chain tells it."""

    number: int
    phase: str
    void_reason: str  # empty unless it is void, and where nobody knows
    accepted: int
    model_root: str
    outcomes: list[Outcome]

    @property
    def is_void(self) -> bool:
        """Whether the model stayed as it was."""
        return self.phase == "Void"

    def void_words(self) -> str:
        """Say that it is void, and why."""
        reason = VOID_REASONS.get(self.void_reason, self.void_reason)
        return f"the round is void: {reason}" if reason else "the round is void"


@dataclass(frozen=True, slots=True)
class Purse:
    """What this hotkey was paid last (planck, block), and since which round a miner's pay is withheld."""

    planck: int = 0
    block: int | None = None
    withheld: int = 0

    def words(self) -> Iterable[str]:
        """Say it in few words."""
        yield f"last payout {asy(self.planck)} in #{self.block}" if self.block else "no payout yet"
        if self.withheld:
            yield f"PAY WITHHELD since round {self.withheld}, until an audit passes"

    def values(self) -> dict[str, int | None]:
        """Return it by name."""
        return {
            "last_payout_planck": self.planck, "last_payout_block": self.block,
            "withheld_since_round": self.withheld or None,
        }  # fmt: skip


def of_miner(page: Page, ended: Ended, own: Outcome | None, purse: Purse) -> Report:
    """Return how a round went for a miner."""
    parts, values = list[str](), dict[str, Any]()
    if page.training is not None:
        parts += [f"loss {page.training.loss:.4f}", f"{page.training.speed:,.0f} tokens/s"]
        values |= {"loss": page.training.loss, "tokens_per_second": round(page.training.speed, 1)}
    size = page.payload_bytes if own is None else own.length
    if size is not None:
        parts.append(f"{size:,} B")
        values["payload_bytes"] = size
    kind, why = _why_nothing(page, ended, own)
    if own is not None and own.ppm:
        parts += [f"score {own.ppm:,} ppm", f"rank {own.rank} of {own.of}"]
        values |= {"score_ppm": own.ppm, "rank": own.rank, "of": own.of}
    if why:
        parts.append(f"{kind}{why}")
    values |= {"phase": ended.phase, "accepted": not why, "why": why or None, **purse.values()}
    level = logging.WARNING if why or purse.withheld else logging.INFO
    return Report("round", ended.number, " | ".join([*parts, *purse.words()]), values, level)


def _why_nothing(page: Page, ended: Ended, own: Outcome | None) -> tuple[str, str]:
    """Say why a miner's round brings it nothing, and what kind of failure that is; nothing where it does."""
    if page.lost:
        return "lost: ", page.lost
    if ended.is_void:
        return "", ended.void_words()
    return ("", "nothing revealed") if own is None else ("REJECTED: ", own.why)


def of_judge(page: Page, ended: Ended, purse: Purse, before: float | None) -> Report:
    """Return how a round went for a judge; `before` is the held-out loss a round ago."""
    parts, values = list[str](), dict[str, Any]()
    if page.judging is not None:
        said, numbers = _judged(page.judging)
        parts += said
        values |= numbers
    if page.lost:
        parts.append(f"lost: {page.lost}")
    if ended.is_void:
        parts.append(ended.void_words())
    else:
        parts.append(f"{ended.accepted} accepted")
        if page.held_out_loss is not None:
            fell = "" if before is None else f"{before:.4f} → "
            parts.append(f"held-out loss {fell}{page.held_out_loss:.4f}")
        parts.append(f"model {ended.model_root[:10]}…")
    values |= {
        "phase": ended.phase, "accepted": ended.accepted, "why": page.lost or None,
        "held_out_loss": page.held_out_loss, "model_root": ended.model_root, **purse.values(),
    }  # fmt: skip
    level = logging.WARNING if page.lost or ended.is_void else logging.INFO
    return Report("round", ended.number, " | ".join([*parts, *purse.words()]), values, level)


def _judged(judging: Judging) -> tuple[list[str], dict[str, Any]]:
    """Return what a judge made of a round's updates."""
    rejected, of = judging.rejected(), len(judging.scores) + judging.unfetched
    said = [f"{len(judging.scores) - len(rejected)} of {of} updates scored in {judging.seconds:.1f} s"]
    said += [f"uid {uid} {cause.words}" for uid, cause in rejected.items()]
    if judging.unfetched:
        said.append(f"{judging.unfetched} not fetched or measured in time")
    numbers = {
        "updates": of, "scored": len(judging.scores) - len(rejected), "unfetched": judging.unfetched,
        "seconds": round(judging.seconds, 2),
        "rejected": {str(uid): cause.value for uid, cause in rejected.items()},
    }  # fmt: skip
    return said, numbers


# Events about one hotkey.


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event means to a worker: its name in metrics and JSON, how loud it is, and what it says."""

    event: str
    level: int
    says: Callable[[Json], str]


def asy(planck: int) -> str:
    """Return planck as ASY with two decimals."""
    return f"{planck / PLANCK:,.2f} ASY"


def _failed(of: Json) -> str:
    said = (
        f"uid {each['judge']}: {each['verdict']}, {each['overlap_ppm'] / PERCENT:.1f} %"
        for each in of["reports"]
    )
    return f"AUDIT FAILED ({'; '.join(said)})"


def _passed(of: Json) -> str:
    other = "" if of["contradicted"] is None else f"; uid {of['contradicted']} had said otherwise"
    return f"audit passed: {of['overlap_ppm'] / PERCENT:.1f} % alike when uid {of['judge']} trained it{other}"


def _withheld(of: Json) -> str:
    return f"PAY WITHHELD until an audit passes; {asy(of['burnt'])} of unvested pay burnt"


def _slashed(of: Json) -> str:
    return f"SLASHED for failed audits: {asy(of['burnt'])} burnt; this hotkey has no seat any more"


def _evicted(of: Json) -> str:
    return "SEAT LOST: it served nothing that judges could audit, again; the bond came back"


def _guilty(of: Json) -> str:
    why = "signed for other bytes than it revealed"
    return f"SLASHED: this hotkey {why}; {asy(of['slashed'])} burnt, and it has no seat any more"


OF_MINER = {
    "Verification.AuditDrawn": Heard(
        "audit_drawn", logging.INFO, lambda of: f"audit: uid {of['judge']} trains this round once more"
    ),
    "Verification.AuditPassed": Heard("audit_passed", logging.INFO, _passed),
    "Verification.AuditFailed": Heard("audit_failed", logging.ERROR, _failed),
    "Verification.AuditLapsed": Heard(
        "audit_lapsed", logging.INFO, lambda of: "audit lapsed: no judge has reported"
    ),
    "Verification.MinerWithheld": Heard("withheld", logging.ERROR, _withheld),
    "Verification.MinerSlashed": Heard("slashed", logging.ERROR, _slashed),
    "Verification.MinerEvicted": Heard("evicted", logging.ERROR, _evicted),
    "ModelUpdates.EvidenceAccepted": Heard("guilty", logging.ERROR, _guilty),
}
"""What may happen to a miner; the event's `miner` is its address."""


def _missed(of: Json) -> str:
    return f"audit of {ends(of['miner'])} not reported in time: this judge's row of the epoch is dropped"


def _wrong(of: Json) -> str:
    cost = "the scores of the round are void, and this judge's row of the epoch is dropped"
    return f"A JURY FOUND THE SCORE OF {ends(of['miner'])} WRONG: {cost}"


def _reported(of: Json) -> str:
    return f"reported on {ends(of['miner'])}: {of['verdict']}, {of['overlap_ppm'] / PERCENT:.1f} % alike"


OF_JUDGE = {
    "Verification.AuditReported": Heard("audit_reported", logging.DEBUG, _reported),  # its auditor logs it
    "Verification.AuditMissed": Heard("audit_missed", logging.ERROR, _missed),
    "Verification.ScoreChallenged": Heard(
        "challenged", logging.WARNING, lambda of: f"somebody doubts the score of {ends(of['miner'])}"
    ),
    "Verification.ChallengeUpheld": Heard("challenge_upheld", logging.ERROR, _wrong),
    "Verification.ChallengeDismissed": Heard(
        "challenge_dismissed", logging.INFO, lambda of: f"a jury agrees with the score of {ends(of['miner'])}"
    ),
    "Verification.ChallengeLapsed": Heard(
        "challenge_lapsed", logging.INFO, lambda of: f"no jury decided on the score of {ends(of['miner'])}"
    ),
}
"""What may happen to a judge; the event's `judge` is its uid."""


GONE: dict[str, Callable[[Json], str]] = {
    "Neurons.NeuronDeregistered": lambda of: "a newcomer replaced it, or its coldkey gave it up",
    "Neurons.HotkeySwapped": lambda of: f"its coldkey moved it to {of['new']}, which is the key to work with",
    "Verification.MinerSlashed": lambda of: (
        f"it was slashed after failed audits of round {of['round']}, bond and unvested pay are burnt"
    ),
    "Verification.MinerEvicted": lambda of: (
        f"its seat was freed, since it served nothing that judges could audit, last in round {of['round']}; "
        "see that others reach its --public-url"
    ),
    "ModelUpdates.EvidenceAccepted": lambda of: (
        f"it was slashed, since it signed for other bytes than it revealed in round {of['round']}"
    ),
}
"""Why a hotkey has no seat any more; of several in a block the last one says most."""
BACK = "Neurons.NeuronRegistered"


def gone(name: str, values: Json, address: str, before: str) -> str:
    """Return why this hotkey has no seat any more after an event, given what was so before."""
    whose = values.get("hotkey", values.get("old", values.get("miner")))
    if whose != address:
        return before
    if name == BACK:
        return ""
    return GONE[name](values) if name in GONE else before


def of_event(name: str, values: Json, address: str, uid: int | None) -> Report | None:
    """Return what an event says about this hotkey; None when it is about others."""
    if name in OF_MINER and values["miner"] == address:
        heard, burnt = OF_MINER[name], values.get("burnt", values.get("slashed", 0))
    elif name in OF_JUDGE and values["judge"] == uid:
        heard, burnt = OF_JUDGE[name], 0  # a challenger's deposit may be: that is not this judge's
    else:
        return None
    kept = {key: value for key, value in values.items() if key not in ("round", "netuid")}
    return Report(heard.event, values["round"], heard.says(values), kept, heard.level, burnt)
