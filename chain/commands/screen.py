"""What `assay up` shows: a header, then one line per thing that happened, read from finalised blocks.

Every line is made from named values, so that `--json` prints those and a person reads the sentence.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.amounts import PLANCK
from chain.client import Chain, Head
from chain.commands.network import Ports
from chain.common.hashes import ends
from chain.verdicts import VOID_REASONS, outcomes

BLOCK_LINE_EVERY = 5
"""blocks between two lines about blocks alone"""
JOURNAL_SECONDS = 5.0
"""a judge measures the new model while it attests it; what takes longer than this has a line of its own"""
JOURNAL_PAUSE = 0.1
"""seconds between two looks into its journal"""


Values = Mapping[str, Any]
"""of an event"""


@dataclass(frozen=True, slots=True)
class Row:
    """One account of the header."""

    name: str
    address: str
    balance: int  # planck
    role: str


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: its sentence, and what it was made from."""

    event: str
    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return one JSON object on one line."""
        return json.dumps({"event": self.event, **self.values, "text": self.text}, ensure_ascii=False)


def header(
    version: str, home: str, spec: Path, ports: Ports, nodes: Sequence[tuple[str, str, int]], rows: list[Row]
) -> Line:
    """Return what stands on top; `spec` is the chain's specification; of a node name, URL and process id."""
    rpc, metrics = f"ws://127.0.0.1:{ports.rpc}", f"http://127.0.0.1:{ports.metrics}/metrics"
    text = f"http://127.0.0.1:{ports.provider}"
    lines = [
        f"assay {version}   local network   {home}",
        "",
        f"  rpc        {rpc}        polkadot.js Apps: Development > Local Node",
        f"  metrics    {metrics}",
        f"  text       {text}",
        f"  spec       {spec}        --chain of other commands",
        "",
    ]
    for at, (name, url, process) in enumerate(nodes):
        lines.append(f"  {'' if at else 'nodes':<10} {name:<14} {url}   process {process}")
    lines.append("")
    for at, row in enumerate(rows):
        label = "accounts" if at == 0 else ""
        balance = f"{row.balance // PLANCK:>9,} ASY"
        lines.append(f"  {label:<10} //{row.name:<10} {ends(row.address)}   {balance}   {row.role}")
    accounts = {row.name: row.address for row in rows}
    values = {
        "version": version, "rpc": rpc, "metrics": metrics, "data": text, "spec": str(spec),
        "accounts": accounts,
        "nodes": [{"name": name, "url": url, "pid": process} for name, url, process in nodes],
    }  # fmt: skip
    return Line("started", "\n".join([*lines, ""]), values)


def _asy(planck: int) -> str:
    return f"{planck / PLANCK:.2f} ASY"


def _failed(of: Values) -> str:
    reports = (
        f"uid {each['judge']}: {each['verdict']}, {each['overlap_ppm'] / 10_000:.1f} %"
        for each in of["reports"]
    )
    return f"failed its audit ({'; '.join(reports)})"


VERDICTS: dict[str, tuple[str, str, Callable[[Values], str]]] = {
    "Verification.AuditPassed": (
        "audit_passed", "🔍", lambda of: f"passed its audit: {of['overlap_ppm'] / 10_000:.1f} % alike"
    ),
    "Verification.AuditFailed": ("audit_failed", "🔍", _failed),
    "Verification.MinerWithheld": (
        "withheld", "🧊",
        lambda of: f"earns nothing until it passes an audit: {_asy(of['burnt'])} of unvested pay burnt",
    ),
    "Verification.MinerSlashed": (
        "slashed", "🚨", lambda of: f"failed two audits: {_asy(of['burnt'])} burnt, its seat is free"
    ),
    "Verification.MinerEvicted": (
        "evicted", "🚪", lambda of: "served nothing that could be audited, again: its seat is free"
    ),
    "ModelUpdates.EvidenceAccepted": (
        "evidence", "🚨",
        lambda of: f"signed for other bytes than it revealed: {_asy(of['slashed'])} burnt, its seat is free",
    ),
    "Verification.ChallengeUpheld": (
        "challenge_upheld", "🧾",
        lambda of: f"was scored wrong by uid {of['judge']}, a jury found: those scores are void",
    ),
}  # fmt: skip
"""What happens to a miner outside of a round's course: the line's event, its sign, and what it says."""


@dataclass(slots=True)
class Progress:
    """What has happened so far; decides when `--exit` may end the run."""

    rounds: int = 0
    epochs_paid: int = 0
    losses: dict[int, float] = field(default_factory=dict)  # round -> held-out loss after it, nats per token


class Screen:
    """Turns finalised blocks into lines."""

    def __init__(self, netuid: int, journal: Path) -> None:
        self.next_block = 1  # the first that has not been shown
        self._netuid = netuid
        self._journal = journal
        self._names: dict[str, str] = {}
        self._since = time.monotonic()
        self._told_of_nothing = False  # that an epoch has paid nobody
        self._unmeasured: list[int] = []  # rounds that closed before their loss was known
        self.progress = Progress()

    def name_accounts(self, names: dict[str, str]) -> None:
        """Show these addresses by name."""
        self._names.update(names)

    async def lines(self, chain: Chain, head: Head) -> list[Line]:
        """Return the lines a finalised block gives rise to; other subnets' events give none."""
        shown: list[Line] = self._measured()
        if head.number % BLOCK_LINE_EVERY == 0:
            shown.append(
                Line("block", f"🏆 #{head.number}  finalised  {head.hash[:10]}…", {"hash": head.hash})
            )
        events = [
            (name, values)
            for name, values in await chain.events(head)
            if not isinstance(values, dict) or values.get("netuid", self._netuid) == self._netuid
        ]
        for name, values in events:
            line = await self._line(chain, name, values)
            if line:
                shown.append(line)
        paid = [values for name, values in events if name == "Incentive.EmissionPaid"]
        for name, values in events:
            if name == "Incentive.EpochRun" and (paid or not self._told_of_nothing):
                self._told_of_nothing = not paid  # once in a row
                shown.append(self._epoch(head, values, paid))
        return [self.timed(line, {"block": head.number}) for line in shown]

    def timed(self, line: Line, more: dict[str, Any] | None = None) -> Line:
        """Return a line with the time since the start before it, in seconds among its values."""
        seconds = int(time.monotonic() - self._since)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return Line(line.event, f"{clock} {line.text}", {"seconds": seconds, **(more or {}), **line.values})

    async def _line(self, chain: Chain, name: str, values: Any) -> Line | None:
        match name:
            case "Neurons.NeuronRegistered":
                who = self._who(values["hotkey"])
                kept = {"hotkey": values["hotkey"], "uid": values["uid"]}
                return Line("registered", f"🪪  {who} registered as uid {values['uid']}", kept)
            case "Training.DatasetSet":
                named = f"📚 text 0x{_short(values['root'])}… named by the provider"
                return Line("dataset", named, {"root": values["root"]})
            case "Training.RoundOpened":
                number, root = values["round"], values["base_root"]
                opened = f"🚪 round {number} opened on model 0x{_short(root)}…"
                return Line("round_opened", opened, {"round": number, "base_root": root})
            case "ModelUpdates.UpdateRevealed":
                return await self._revealed(chain, values)
            case "Training.PhaseChanged" if values["phase"] == "Attest":
                return await self._scored(chain, values["round"])
            case "Training.RoundClosed":
                return await self._closed(values)
            case "Training.RoundVoided":
                number, reason = values["round"], str(values["reason"])
                voided = f"⚪ round {number} void: {VOID_REASONS.get(reason, reason)}"
                return Line("round_voided", voided, {"round": number, "reason": reason})
            case "Staking.EraPaid":
                era, amount = values["era_index"], values["validator_payout"]
                text = f"🏦 era {era} over: {amount / PLANCK:.2f} ASY for its validators to claim"
                return Line("era_paid", text, {"era": era, "validator_payout": amount})
            case "Staking.SlashReported":
                who, share = self._who(values["validator"]), values["fraction"] / 10_000_000
                text = f"⚔️  {who} signed twice: {share:.2f} % of its stake will be slashed"
                return Line("slash_reported", text, {"validator": values["validator"]})
        return self._verdict(name, values)

    def _verdict(self, name: str, values: Any) -> Line | None:
        if name not in VERDICTS:
            return None
        event, sign, says = VERDICTS[name]
        kept = {key: value for key, value in values.items() if key != "netuid"}
        text = f"{sign} round {values['round']}  {self._who(values['miner'])} {says(values)}"
        return Line(event, text, kept)

    async def _revealed(self, chain: Chain, values: Any) -> Line:
        number, miner = values["round"], values["miner"]
        update = await chain.query("ModelUpdates.Updates", values["netuid"], number, miner)
        digest, length = update["digest"], update["length"]
        text = f"🔏 round {number}  {self._who(miner)} update 0x{_short(digest)}…  {length:,} B"
        kept = {"round": number, "miner": miner, "digest": digest, "length": length}
        return Line("update_revealed", text, kept)

    async def _scored(self, chain: Chain, number: int) -> Line:
        found = outcomes(await chain.rpc("training_round", self._netuid, number))
        weights = {one.miner: one.ppm for one in found if one.ppm}
        rejected = {one.miner: one.why for one in found if not one.ppm}
        shown = [f"{self._who(address)} {ppm:,} ppm" for address, ppm in weights.items()]
        shown += [f"{self._who(address)} rejected: {why}" for address, why in rejected.items()]
        kept = {"round": number, "weights_ppm": weights, "rejected": rejected}
        return Line("scored", f"⚖️  round {number}  scores  {'   '.join(shown)}", kept)

    async def _closed(self, values: Any) -> Line:
        number, accepted, root = values["round"], values["accepted"], values["new_root"]
        self.progress.rounds += 1
        until = time.monotonic() + JOURNAL_SECONDS
        while number not in self.progress.losses and time.monotonic() < until:
            self._read_journal()
            await asyncio.sleep(JOURNAL_PAUSE)
        before, after = self.progress.losses.get(number - 1), self.progress.losses.get(number)
        if after is None:
            self._unmeasured.append(number)
        loss = f"{_fall(before, after)}   " if after is not None else ""
        return Line(
            "round_closed",
            f"🧠 round {number} closed: {accepted} updates accepted   {loss}model 0x{_short(root)}…",
            {"round": number, "accepted": accepted, "loss": after, "loss_before": before, "model_root": root},
        )

    def _measured(self) -> list[Line]:
        """Return the losses that have become known since their rounds closed."""
        if self._unmeasured:
            self._read_journal()
        losses = self.progress.losses
        found = [number for number in self._unmeasured if number in losses]
        self._unmeasured = [number for number in self._unmeasured if number not in losses]
        return [
            Line(
                "round_measured",
                f"📉 round {number} measured: {_fall(losses.get(number - 1), losses[number])}",
                {"round": number, "loss": losses[number], "loss_before": losses.get(number - 1)},
            )
            for number in found
        ]

    def _epoch(self, head: Head, values: Any, paid: list[Any]) -> Line:
        if paid:
            self.progress.epochs_paid += 1
        miners = [
            f"{self._who(each['hotkey'])} +{each['incentive'] / PLANCK:.2f}"
            for each in paid
            if each["incentive"]
        ]
        judges = sum(each["dividend"] for each in paid) / PLANCK
        carried = values["carried"] / PLANCK
        if judges:
            miners.append(f"validators +{judges:.2f}")
        text = f"💰 epoch at #{head.number}  "
        if miners:
            text += f"paid {values['paid'] / PLANCK:.2f} ASY   {'  '.join(miners)}   carried {carried:.2f}"
        else:
            text += f"nothing was earned in it; {carried:.2f} ASY carried to the next one"
        payments = [
            {"hotkey": each["hotkey"], "incentive": each["incentive"], "dividend": each["dividend"]}
            for each in paid
        ]
        kept = {"paid": values["paid"], "carried": values["carried"], "payments": payments}
        return Line("epoch", text, kept)

    def _read_journal(self) -> None:
        """Read the held-out losses a judge has published so far."""
        if not self._journal.exists():
            return
        for line in self._journal.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # being written, or torn by a full disk
                continue
            if entry["event"] == "model":
                self.progress.losses[entry["round"]] = entry["held_out_loss"]

    def _who(self, address: str) -> str:
        return self._names.get(address, ends(address))


def _fall(before: float | None, after: float) -> str:
    return f"held-out loss {after:.3f}" if before is None else f"held-out loss {before:.3f} → {after:.3f}"


def _short(text: str) -> str:
    return text.removeprefix("0x")[:8]
