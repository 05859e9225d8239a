"""What `assay up` shows: a header, then one line per thing that happened, read from finalised blocks."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.client import Chain, Head
from chain.commands.network import Ports

PLANCK = 10**12
"""planck per ASY"""
BLOCK_LINE_EVERY = 5
"""blocks between two lines about blocks alone"""


JOURNAL_SECONDS = 5.0
"""a judge measures the new model after it has attested it; longer than this its line is not waited for"""
JOURNAL_PAUSE = 0.1
"""seconds between two looks into its journal"""


@dataclass(frozen=True, slots=True)
class Row:
    """One account of the header."""

    name: str
    address: str
    balance: int  # planck
    role: str


def header(version: str, home: str, ports: Ports, rows: list[Row]) -> str:
    """Return what stands on top."""
    lines = [
        f"assay {version}   local network   {home}",
        "",
        f"  rpc        ws://127.0.0.1:{ports.rpc}        polkadot.js Apps: Development > Local Node",
        f"  metrics    http://127.0.0.1:{ports.metrics}/metrics",
        f"  text       http://127.0.0.1:{ports.provider}",
        "",
    ]
    for at, row in enumerate(rows):
        label = "accounts" if at == 0 else ""
        short = f"{row.address[:6]}…{row.address[-4:]}"
        lines.append(f"  {label:<10} //{row.name:<10} {short}   {row.balance // PLANCK:>9,} ASY   {row.role}")
    return "\n".join([*lines, ""])


@dataclass(slots=True)
class Progress:
    """What has happened so far; decides when `--exit` may end the run."""

    rounds: int = 0
    epochs_paid: int = 0
    losses: dict[int, float] = field(default_factory=dict)  # round -> held-out loss after it, nats per token


class Screen:
    """Turns finalised blocks into lines."""

    def __init__(self, chain: Chain, netuid: int, journal: Path) -> None:
        self._chain = chain
        self._netuid = netuid
        self._journal = journal
        self._names: dict[str, str] = {}
        self._since = time.monotonic()
        self.progress = Progress()

    def name_accounts(self, names: dict[str, str]) -> None:
        """Show these addresses by name."""
        self._names.update(names)

    async def lines(self, head: Head) -> list[str]:
        """Return the lines a finalised block gives rise to."""
        shown = [] if head.number % BLOCK_LINE_EVERY else [f"🏆 #{head.number}  finalised  {head.hash[:10]}…"]
        events = await self._chain.events(head)
        for name, values in events:
            line = await self._line(name, values)
            if line:
                shown.append(line)
        paid = [values for name, values in events if name == "Incentive.EmissionPaid"]
        for name, values in events:
            if name == "Incentive.EpochRun":
                shown.append(self._epoch(head, values, paid))
        elapsed = time.strftime("%H:%M:%S", time.gmtime(time.monotonic() - self._since))
        return [f"{elapsed} {line}" for line in shown]

    async def _line(self, name: str, values: Any) -> str | None:
        match name:
            case "Neurons.NeuronRegistered":
                return f"🪪  {self._who(values['hotkey'])} registered as uid {values['uid']}"
            case "Training.DatasetSet":
                return f"📚 text 0x{_short(values['root'])}… named by the provider"
            case "Training.RoundOpened":
                return f"🚪 round {values['round']} opened on model 0x{_short(values['base_root'])}…"
            case "ModelUpdates.UpdateRevealed":
                return await self._revealed(values)
            case "Training.PhaseChanged" if values["phase"] == "Attest":
                return await self._scored(values["round"])
            case "Training.RoundClosed":
                return await self._closed(values)
            case "Training.RoundVoided":
                return f"⚪ round {values['round']} void: {values['reason']}"
        return None

    async def _revealed(self, values: Any) -> str:
        update = await self._chain.query(
            "ModelUpdates.Updates", values["netuid"], values["round"], values["miner"]
        )
        return (
            f"🔏 round {values['round']}  {self._who(values['miner'])} update 0x{_short(update['digest'])}…  "
            f"{update['length']:,} B"
        )

    async def _scored(self, number: int) -> str:
        found = await self._chain.round(self._netuid, number)
        accepted = found.accepted if found else []
        weights = "   ".join(
            f"{self._who(self._chain.address_of(each.hotkey))} {each.weight * 1_000_000 // 65_535:,} ppm"
            for each in accepted
        )
        return f"⚖️  round {number}  scores  {weights}"

    async def _closed(self, values: Any) -> str:
        number = values["round"]
        self.progress.rounds += 1
        until = time.monotonic() + JOURNAL_SECONDS
        while number not in self.progress.losses and time.monotonic() < until:
            self._read_journal()
            await asyncio.sleep(JOURNAL_PAUSE)
        before, after = self.progress.losses.get(number - 1), self.progress.losses.get(number)
        loss = (
            f"held-out loss {before:.3f} → {after:.3f}   " if before is not None and after is not None else ""
        )
        model = f"model 0x{_short(values['new_root'])}…"
        return f"🧠 round {number} closed: {values['accepted']} updates accepted   {loss}{model}"

    def _epoch(self, head: Head, values: Any, paid: list[Any]) -> str:
        if paid:
            self.progress.epochs_paid += 1
        miners = [
            f"{self._who(each['hotkey'])} +{each['incentive'] / PLANCK:.2f}"
            for each in paid
            if each["incentive"]
        ]
        judges = sum(each["dividend"] for each in paid) / PLANCK
        if judges:
            miners.append(f"validators +{judges:.2f}")
        return (
            f"💰 epoch at #{head.number}  paid {values['paid'] / PLANCK:.2f} ASY   {'  '.join(miners)}   "
            f"carried {values['carried'] / PLANCK:.2f}"
        )

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
        return self._names.get(address, f"{address[:6]}…{address[-4:]}")


def _short(text: str) -> str:
    return text.removeprefix("0x")[:8]
