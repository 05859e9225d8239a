"""The parts of docs/ that the code can say itself: command lines, presets, numbers, error texts, metrics.

python -m tests.docs.generate --update      write them; without the flag, say which are out of date
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from chain.cli import COMMANDS, PROGRAMS, load
from chain.common.faults import Fault
from chain.keys.keystore import KEY_KINDS
from chain.network.messages import LIMITS
from chain.rpc.policy import UNSAFE
from chain.rpc.server import all_methods
from chain.rpc.subscriptions import BOUND, SUBSCRIBE, UNSUBSCRIBE
from chain.telemetry.metrics import Metrics, Reading
from miners.blobs.server import Traffic
from miners.commands import audit_replay, miner, model_export, model_found, model_import, provider
from miners.config import parser_of
from miners.metrics import WorkerMetrics
from miners.shelf import Shelf
from runtime.frame.pallet import spec_of
from runtime.pallets.free_calls import NUMBERS
from runtime.pallets.subnets.numbers import BOUNDS, Hyperparameters
from runtime.pallets.training.types import VoidReason
from runtime.runtime import AssayRuntime
from tests.e2e import matrix
from validators.commands import audit_scores, validator

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    "miner": miner.Config,
    "validator": validator.Config,
    "provider": provider.Config,
    "model export": model_export.Config,
    "model import": model_import.Config,
    "model found": model_found.Config,
    "audit replay": audit_replay.Config,
    "audit scores": audit_scores.Config,
}
ASY = 10**12
"""planck"""
AMOUNTS = frozenset(
    {
        "burn_start",
        "burn_min",
        "burn_max",
        "uid_bond",
        "stake_threshold",
        "BlockReward",
        "ExistentialDeposit",
    }
)
ATTACK_UNITS = {
    "cabal": "% of the emission, by its stake",
    "seats": "% of the emission for 51 % of the stake",
    "pull": "change of a miner's incentive in %, without a cap",
    "error": "% of the incentive",
    "copier": "dividend for its stake, of an honest judge's",
    "registrations": "256 of them, ASY",
    "copies": "pay together, of that for one uid",
}
"""What the tables of bench/incentives.py say."""
CONSTANTS = (
    ("Babe", "ExpectedBlockTime", "slot, ms"),
    ("Babe", "EpochDuration", "session, slots"),
    ("Staking", "SessionsPerEra", "era, sessions"),
    ("Staking", "BondingDuration", "unbonding, and time to report an offence, eras"),
    ("Staking", "SlashDeferDuration", "deferral of a slash, eras"),
    ("Staking", "HistoryDepth", "time to claim rewards, eras"),
    ("Balances", "ExistentialDeposit", "existential deposit"),
    ("Incentive", "BlockReward", "block reward"),
    ("Incentive", "HalvingInterval", "halving, blocks"),
    ("Incentive", "ConsensusSharePpm", "consensus pot's share of the reward, ppm"),
    ("Training", "WarmUp", "blocks everything must be there before the first round"),
    ("Subnets", "MaxSubnets", "most subnets"),
)


def main() -> int:
    """Write what is out of date, or name it."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--update", action="store_true", help="write the files")
    update = flags.parse_args().update
    for path in stale():
        if not update:
            print(f"{path.relative_to(ROOT)} is out of date: python -m tests.docs.generate --update")
            continue
        path.write_text(current(path))
        print(f"{path.relative_to(ROOT)} written")
    return 0 if update or not list(stale()) else 1


def stale() -> Iterator[Path]:
    """Yield the documents whose generated parts are not what the code says."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        if path.read_text() != current(path):
            yield path


def current(path: Path) -> str:
    """Return a document with its generated parts renewed."""

    def renew(found: "re.Match[str]") -> str:
        return f"<!-- generated: {found[1]} -->\n{BLOCKS[found[1]]()}\n<!-- generated: end -->"

    return re.sub(
        r"<!-- generated: (?!end)(\w+) -->.*?<!-- generated: end -->",
        renew,
        path.read_text(),
        flags=re.DOTALL,
    )


# Command lines.


def commands() -> str:
    """Return every command's usage, arguments and help."""
    sections = [_command(name, _described(name)) for name in COMMANDS]
    sections += [_command(name, parser_of(CONFIGS[name])) for name in PROGRAMS]
    return "\n\n".join(sections)


def _described(name: str) -> argparse.ArgumentParser:
    module = load(name)
    parser = argparse.ArgumentParser(prog=f"assay {name}", description=module.__doc__)
    module.describe(parser)
    return parser


def _command(name: str, parser: argparse.ArgumentParser, level: str = "##") -> str:
    text = (parser.description or "").strip()
    lines = [f"{level} assay {name}", "", "```", text, "```"] if text else [f"{level} assay {name}"]
    shown = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    rows = [_flag(action) for action in shown if not isinstance(action, argparse._SubParsersAction)]
    if rows:
        lines += ["", "| argument | meaning |", "|---|---|", *rows]
    for action in shown:
        if isinstance(action, argparse._SubParsersAction):
            for verb, inner in action.choices.items():
                lines += ["", _command(f"{name} {verb}", inner, level + "#")]
    return "\n".join(lines)


def _flag(action: argparse.Action) -> str:
    value = ""
    if action.choices:
        value = " " + ",".join(str(choice) for choice in action.choices)
    elif action.nargs != 0:
        value = f" {action.metavar or action.dest.upper()}"
    name = ", ".join(f"{option}{value}" for option in action.option_strings) or str(action.dest)
    needed = " (required)" if action.required and action.option_strings else ""
    words = (action.help or "").replace("%%", "%").replace(str(Path.home()), "~")
    return f"| `{name.replace('|', chr(92) + '|')}` | {words.replace('|', chr(92) + '|')}{needed} |"


# The chain's numbers.


def presets() -> str:
    """Return the numbers of the presets beside the runtime's defaults."""
    config = _preset("local")
    assert config == _preset("dev"), "dev and local have come apart: give each a column"
    subnet = config["subnets"]["1"]["hyperparameters"]
    lines = ["| number | `dev`, `local` | default of the runtime | bounds |", "|---|---|---|---|"]
    for pallet, name, words in CONSTANTS:
        default = _default(pallet, name)
        chosen = config["constants"].get(pallet, {}).get(name, default)
        amounts = f"{_amount(name, chosen)} | {_amount(name, default)}"
        lines.append(f"| {words} (`{pallet}.{name}`) | {amounts} | |")
    for field in fields(Hyperparameters):
        numbers = subnet.get(field.name, field.default), field.default
        chosen, default = (_amount(field.name, number) for number in numbers)
        bounds = BOUNDS[field.name]
        least, most = (_amount(field.name, number) for number in (bounds.least, bounds.most))
        lines.append(f"| `{field.name}` | {chosen} | {default} | {least} to {most} |")
    return "\n".join(lines)


def accounts() -> str:
    """Return what genesis gives to whom, by amount."""
    listed: dict[int, int] = {}
    for _, amount in _preset("local")["balances"]["balances"]:
        listed[amount] = listed.get(amount, 0) + 1
    return "\n".join(
        f"- {count} accounts with {_amount('BlockReward', each)}" for each, count in listed.items()
    )


def _preset(name: str) -> dict[str, Any]:
    spec = json.loads(files("genesis").joinpath(f"{name}.json").read_text())
    return dict(spec["genesis"]["runtimeGenesis"]["config"])


def _default(pallet: str, constant: str) -> Any:
    declared = next(each for each in AssayRuntime.declared.values() if each.name == pallet)
    return next(each.default for each in spec_of(type(declared)).constants if each.name == constant)


def _amount(name: str, value: Any) -> str:
    if name not in AMOUNTS:
        return f"{value:,}"
    whole, rest = divmod(value, ASY)
    return f"{whole:,} ASY" if not rest else f"{value / ASY:g} ASY"


def refusals() -> str:
    """Return the numbers of CheckFreeCalls and what each says."""
    lines = ["| number | error | text |", "|---|---|---|"]
    for error, number in sorted(NUMBERS.items(), key=lambda entry: entry[1]):
        pallet = type(error).__module__.split(".")[2]
        lines.append(f"| {number} | `{pallet}.{error.name}` | {error.value} |")
    return "\n".join(lines)


def errors() -> str:
    """Return why the calls of the market are refused, and what to do then."""
    rows = ["| error | cause | remedy |", "|---|---|---|"]
    for name in ("subnets", "neurons", "weights"):
        spec = spec_of(type(AssayRuntime.declared[name]))
        for error in spec.error or ():
            cause, _, remedy = error.value.partition("; ")
            assert remedy, f"{error} does not say what to do"
            rows.append(f"| `{spec.name}.{error.name}` | {cause} | {remedy.removesuffix('.')} |")
    return "\n".join(rows)


def void_reasons() -> str:
    """Return why a round may be void."""
    return ", ".join(f"`{reason.name}` {reason.value}" for reason in VoidReason)


def pallets() -> str:
    """Return pallets with their indices, calls, storage and events."""
    lines = ["| index | pallet | calls | storage | events |", "|---|---|---|---|---|"]
    for declared in AssayRuntime.declared.values():
        spec = spec_of(type(declared))
        calls = ", ".join(f"{call.index} {call.name}" for call in spec.calls)
        items = ", ".join(item.name for item in spec.storage)
        events = ", ".join(event.__name__ for event in spec.events)
        lines.append(
            f"| {declared.index} | {spec.name} | {calls or '-'} | {items or '-'} | {events or '-'} |"
        )
    return "\n".join(lines)


# The node.


def metrics() -> str:
    """Return the series of the node, from an exporter without a node."""
    fresh = Metrics("local", "node", "0", 0.0)
    fresh.follow(Reading)
    return _series(fresh.render())


def worker_metrics() -> str:
    """Return the series of miners and judges."""
    with tempfile.TemporaryDirectory() as home:
        return _series(WorkerMetrics("local", Traffic(), Shelf(Path(home))).render())


def _series(page: str) -> str:
    lines = ["| series | kind | meaning |", "|---|---|---|"]
    words = dict(re.findall(r"^# HELP (\w+) (.+)$", page, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE):
        lines.append(f"| `{name}` | {kind} | {words[name]} |")
    return "\n".join(lines)


def channels() -> str:
    """Return the channels between peers and what each may be used for."""
    lines = [
        "| channel | priority | bytes of a message | messages per second | at once |",
        "|---|---|---|---|---|",
    ]
    for channel, limits in LIMITS.items():
        rate = f"{limits.rate:g}"
        lines.append(
            f"| {channel.value} {channel.name.capitalize()} | {limits.priority} | {limits.size:,} | {rate} "
            f"| {limits.burst:,} |"
        )
    return "\n".join(lines)


def faults() -> str:
    """Return what a peer can do wrong, the dearest first."""
    lines = ["| fault | cost | what to do when it ends a connection |", "|---|---|---|"]
    for fault in sorted(Fault, key=lambda each: -each.cost):
        lines.append(f"| {fault} | {fault.cost:,} | {fault.advice} |")
    return "\n".join(lines)


def rpc_methods() -> str:
    """Return the JSON-RPC methods by namespace."""
    spaces: dict[str, list[str]] = {}
    for name in sorted((*all_methods(unsafe=True).handlers, *SUBSCRIBE, *UNSUBSCRIBE, *BOUND)):
        spaces.setdefault(name.split("_")[0], []).append(name)
    return "\n".join(f"- {', '.join(f'`{name}`' for name in names)}" for names in spaces.values())


def unsafe_methods() -> str:
    """Return the methods that only the operator may call."""
    return ", ".join(f"`{name}`" for name in sorted(UNSAFE))


def key_types() -> str:
    """Return the key types of the keystore."""
    return "\n".join(
        f"- `{name.decode()}`: {kind}, file name `{name.hex()}` + public key"
        for name, kind in KEY_KINDS.items()
    )


def attacks() -> str:
    """Return the tables of bench/incentives.py, as last measured."""
    found = json.loads((ROOT / "bench/results/incentives.json").read_text())["figures"]
    tables = ((name, table) for name, table in found.items() if isinstance(table, dict))
    return "\n\n".join(_attack(name, table) for name, table in tables)


def _attack(name: str, table: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(table.values())))
    lines = [f"| {name}, {ATTACK_UNITS[name]} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(f'{line[key]:,}' for key in columns)} |" for row, line in table.items()]
    return "\n".join(lines)


def arena() -> str:
    """Return the table of bench/arena.py, as last measured: newcomers / those who are past that."""
    found = json.loads((ROOT / "bench/results/arena.json").read_text())["figures"]
    both: dict[str, list[dict[str, Any]]] = {}
    for line in found["table"]:
        both.setdefault(line["attack"], []).append(line)
    head = ("attack", "of", "seeds", "kept", "each, %", "audits failed", "out", "ev, %", "missed")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, stages in both.items():
        cells = (
            name,
            f"{stages[0]['attackers']} of {stages[0]['miners']}",
            _pair(stages, lambda it: str(len(it["seeds"]))),
            _pair(stages, lambda it: f"{it['kept']:.2f}"),
            _pair(stages, lambda it: f"{it['each_percent']:.0f}"),
            _pair(stages, lambda it: f"{it['audits_failed']} of {it['audits_drawn']}"),
            _pair(stages, lambda it: f"{it['slashed']} of {it['met']}"),
            _pair(stages, lambda it: f"{it['ev_percent']:.0f}" if "ev_percent" in it else "-"),
            "; ".join(sorted({miss for it in stages for miss in it["missed"]})),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(stages: list[dict[str, Any]], of: Callable[[dict[str, Any]], str]) -> str:
    """Return a figure of both stages, once where it is the same."""
    return " / ".join(dict.fromkeys(of(each) for each in stages))


BLOCKS: dict[str, Callable[[], str]] = {
    "accounts": accounts,
    "arena": arena,
    "attacks": attacks,
    "channels": channels,
    "clients": matrix.table,
    "commands": commands,
    "errors": errors,
    "faults": faults,
    "key_types": key_types,
    "metrics": metrics,
    "worker_metrics": worker_metrics,
    "pallets": pallets,
    "presets": presets,
    "refusals": refusals,
    "rpc_methods": rpc_methods,
    "unsafe_methods": unsafe_methods,
    "void_reasons": void_reasons,
}

if __name__ == "__main__":
    sys.exit(main())
