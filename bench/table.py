"""The README's table of measured numbers, made from bench/results.

python -m bench.table            print it
python -m bench.table --update   write it into README.md
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- measured: python -m bench.table --update -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Row:
    """One line of the table: what, and how to say it from a benchmark's figures."""

    benchmark: str
    what: str
    say: Callable[[dict[str, Any]], str]


def _throughput(name: str, figures: dict[str, Any]) -> str:
    ours, theirs = figures[f"assay_{name}"], figures.get(f"anvil_{name}")
    said = f"{ours['transfers_per_second']:,} ({ours['cpu_us_per_transfer']} µs of CPU time each)"
    return said if theirs is None else f"{said}; {theirs['transfers_per_second']:,}"


def _reads(figures: dict[str, Any], peer: str) -> str:
    rates = [figures.get(f"{peer}_header_{transport}_per_second") for transport in ("http", "websocket")]
    return ", ".join("not measured" if rate is None else f"{rate:,}" for rate in rates)


def _by_validators(figures: dict[str, Any], say: Callable[[dict[str, Any]], str]) -> str:
    """Say the same of networks of several sizes."""
    sizes = sorted(int(name.split("_")[1]) for name in figures if name.startswith("validators_"))
    return "; ".join(f"{size} validators: {say(figures[f'validators_{size}'])}" for size in sizes)


def _late(figures: dict[str, Any]) -> str:
    """Say how long joining takes by the length of the chain, and in full where that was measured."""
    said = []
    for name, line in figures.items():
        full = f" (in full {line['full_s']} s)" if "full_s" in line else ""
        said.append(f"{int(name.removeprefix('blocks_')):,} blocks: {line['warp_s']} s{full}")
    return "; ".join(said)


def _grown(process: dict[str, float]) -> float:
    """Return what a process took at the end beyond what it took once settled, MiB."""
    return process["end"] - process["settled"]


def _wrong(figures: dict[str, Any]) -> int:
    """Return how often what was left of a database said something that is not so."""
    return sum(figures[kind]["wrong"] for kind in ("kill", "torn_log", "bit_rot", "full_disk"))


def _transport(name: str, figures: dict[str, Any]) -> str:
    """Say a figure of ours, of a plain socket and of libp2p."""
    several = [figures[whose] for whose in ("ours", "plain", "libp2p")]
    return "; ".join(f"{each[name]:,.0f}" if isinstance(each, dict) else each for each in several)


def _memory(resident: dict[str, int]) -> str:
    """Return the most that a process of each role took, and the sum over all processes."""
    roles = {name.split()[0]: 0 for name in resident}
    for name, mib in resident.items():
        roles[name.split()[0]] = max(roles[name.split()[0]], mib)
    said = ", ".join(f"{role} {mib}" for role, mib in roles.items())
    return f"{said}; {sum(resident.values()):,}"


def _epochs(figures: dict[str, Any], density: str) -> str:
    """Say how long epochs of each size take: median, yuma3, and the median in floats."""
    sizes = dict.fromkeys(name.split()[1] for name in figures if name.endswith(density))
    said = []
    for size in sizes:
        ours, theirs = (figures[f"{function} {size} {density}"] for function in ("median", "yuma3"))
        said.append(f"{size}: {ours['ms']:.0f}, {theirs['ms']:.0f}, {ours['float_ms']:.0f} ms")
    return "; ".join(said)


def _compared(figures: dict[str, Any]) -> str:
    """Say how many epochs equalled the slow models."""
    compared = figures["compared"]
    return ", ".join(f"{compared[name]:,} of `{name}`" for name in ("median", "yuma3"))


def _pulled(figures: dict[str, Any]) -> str:
    """Say what 40 % of the stake does to a miner of its own and to a rival."""
    line = figures["pull"]["stake 0.40, noise 10%"]
    return "; ".join(
        f"{line[f'{name} own']:+} %, {line[f'{name} rival']:+} %" for name in ("median", "yuma3")
    )


def _gaps(figures: dict[str, Any]) -> str:
    """Say what rounds cost in loss and save in bytes, from a warm start and from scratch."""
    ended = {way: found for way in ("warm", "scratch") if (found := figures[way])["seeds_ended"]}
    return "; ".join(
        f"{way}: {found['gap_percent']:+.1f} % at {found['times_fewer_bytes']:,.0f} times fewer"
        for way, found in ended.items()
    )


def _attacked(figures: dict[str, Any]) -> str:
    """Say what all attacks of the arena come to."""
    table = figures["table"]
    attacked = [each for each in table if each["attack"] != "honest"]
    met = sum(not each["missed"] for each in attacked)
    honest, failed = (sum(each[name] for each in table) for name in ("honest_audits", "false_failures"))
    return (
        f"{met} of {len(attacked)}, {figures['seeds']} seeds; least kept "
        f"{min(each['kept'] for each in attacked):.2f}; {failed} of {honest:,} audits of honest miners failed"
    )


def _replayed(figures: dict[str, Any]) -> str:
    """Say what replays tell apart, and what they cost."""
    honest, cheats = figures["honest"], figures["cheats"]
    rounds, passed = (
        sum(row[name] for kind, row in cheats.items() if not kind.startswith("honest"))
        for name in ("rounds", "passed")
    )
    return (
        f"{honest['failed']} of {honest['replays']:,}; {passed} of {rounds}; "
        f"{figures['cost']['rounds_per_audit']} rounds"
    )


ROWS = (
    Row("loss_gap", "held-out loss and bytes of rounds, against synchronous AdamW (`make gap`)", _gaps),
    Row(
        "effort",
        "rank correlation of a miner's work with its score in a round; over four (`make effort`)",
        lambda f: f"{f['plain']['score']['mean']:.3f}; {f['plain']['four_rounds']['mean']:.3f}",
    ),
    Row("arena", "attacks on a training subnet that stay within what they must (`make arena`)", _attacked),
    Row(
        "replays",
        "replays of honest work that failed, of cheats that passed; cost of one (`make replays`)",
        _replayed,
    ),
    *(
        Row(
            "epoch",
            f"a subnet's epoch, miners x judges, {words}: `median`, `yuma3`, the same on dense floats",
            partial(_epochs, density=density),
        )
        for density, words in (("dense", "all scored by all"), ("sparse", "5 % scored"))
    ),
    Row("epoch", "random epochs equal to slow models in every unit (`make epochs`)", _compared),
    Row(
        "incentives",
        "what 40 % of the stake makes of its own miner's pay and of a rival's: `median`; `yuma3`",
        _pulled,
    ),
    Row("first_light", "`assay up` to the first block", lambda f: f"{f['first_block_s']} s"),
    Row("first_light", "to the first training round closed", lambda f: f"{f['first_round_closed_s']} s"),
    Row("first_light", "to the first payout", lambda f: f"{f['first_payout_s']} s"),
    Row(
        "first_light",
        "finalised blocks per second (slots of 2 s)",
        lambda f: f"{f['finalised_blocks_per_second']:.2f}",
    ),
    Row(
        "first_light",
        "held-out loss, nats per token, before round 1 and after each",
        lambda f: " → ".join(f"{loss:.2f}" for loss in f["held_out_loss"]),
    ),
    Row(
        "first_light",
        "most memory of a process by role, and of all processes added up, MiB",
        lambda f: _memory(f["resident_mib"]),
    ),
    Row(
        "grandpa_round",
        "a GRANDPA vote, 300 voters and 10,000 unfinalised blocks; targets far apart",
        lambda f: f"{f['vote_us_one_target']} µs; {f['vote_us_targets_over_10000_blocks']} µs",
    ),
    Row(
        "finality",
        "from block to finality, whole nodes, links of 20 to 250 ms, virtual clock: median and slowest",
        lambda f: _by_validators(f, lambda each: f"{each['median_s']} s, {each['most_s']} s"),
    ),
    Row(
        "finality",
        "CPU time per final block and node (nodes share executions and verdicts); messages in the network",
        lambda f: _by_validators(
            f, lambda each: f"{each['cpu_ms_per_block_and_node']:.0f} ms; {each['messages_per_block']:,}"
        ),
    ),
    Row(
        "sim",
        "networks through partitions, crashes, liars, twins, churn (`make sim`): seeds, failed; per minute",
        lambda f: _by_validators(
            f, lambda each: f"{each['seeds']:,}, {each['failed']}; {each['seeds_per_minute']:.0f}"
        ),
    ),
    Row(
        "grandpa_network",
        "random networks of voters through partitions, loss, crashes and twins (`make storms`)",
        lambda f: f"{f['storms']}, {f['broken_or_stuck']} broken or stuck",
    ),
    Row(
        "grandpa_round",
        "random rounds played against the paper's definitions (`make rounds`)",
        lambda f: f"{f['rounds']:,} rounds, {f['votes']:,} votes, {f['differences']} differences",
    ),
    Row(
        "market",
        "random histories of five subnets, checked after every block (`make market`)",
        lambda f: f"{f['moves']:,} moves, {f['blocks']:,} blocks, {f['broken']} broken",
    ),
    Row(
        "crash",
        "an importing node killed, its log torn, files rotten, disk full (`make crash`): states found wrong",
        lambda f: (
            f"{f['kill']['kills']}, {f['torn_log']['torn']}, {f['bit_rot']['rotten']}, "
            f"{f['full_disk']['full_disks']} times: {_wrong(f)}"
        ),
    ),
    Row(
        "fuzz",
        "mutated inputs to decoders of foreign bytes (`make fuzz`); a million or more each",
        lambda f: (
            f"{sum(each['inputs'] for each in f.values()) / 1e6:.0f} million to {len(f)}, none broken; "
            f"{sum(each['inputs'] >= 1e6 for each in f.values())} of them"
        ),
    ),
    Row(
        "hostile",
        "20 attacks on a node in turn (`make hostile`): slots missed; most memory resident, MiB",
        lambda f: (
            f"{f['all']['missed_attacked']} of {f['all']['slots_attacked']}; {f['all']['rss_peak_mib']}"
        ),
    ),
    Row(
        "runtime",
        "signed transfers executed per second, one core, state in memory",
        lambda f: f"{f['transfers_per_second']:,}",
    ),
    Row("runtime", "checking one transaction for the pool", lambda f: f"{f['validation_us']} µs"),
    Row(
        "runtime",
        "decoding a signed transfer; scalecodec in the same run",
        lambda f: f"{f['decode_us']} µs; {f['decode_scalecodec_us']} µs ({f['decode_ratio']}x)",
    ),
    Row(
        "runtime",
        "encoding it; scalecodec",
        lambda f: f"{f['encode_us']} µs; {f['encode_scalecodec_us']} µs ({f['encode_ratio']}x)",
    ),
    Row(
        "election",
        "electing 100 of 130 by 5,000 nominators with 16 votes each, at once; the usual loops, in floats",
        lambda f: f"{f['seats_s']:.2f} s; {f['usual_floats_s']:.2f} s ({f['usual_to_ours']}x)",
    ),
    Row(
        "election",
        "the same over blocks: blocks; the longest, and on a node that remembers nothing; taking the result",
        lambda f: (
            f"{f['warm']['blocks']}; {f['warm']['largest_ms']:.0f} ms, {f['cold']['largest_ms']:.0f} ms; "
            f"{f['take_and_expose_ms']:.0f} ms"
        ),
    ),
    Row(
        "election",
        "parts of stakes behind validators that Phragmén makes, and what is left without circles",
        lambda f: f"{f['parts']:,} → {f['parts_left']:,}",
    ),
    Row(
        "state",
        "state root of 2,000 changed accounts, of a hot set of 20,000, by accounts in the state",
        lambda f: by_size(f, lambda state: f"{state['hot_root_ms']:.0f} ms"),
    ),
    Row(
        "state",
        "the same root built from all pairs of the state",
        lambda f: by_size(f, lambda state: f"{state['rebuild_ms']:,.0f} ms"),
    ),
    Row(
        "state",
        "2,000 accounts drawn from the whole state, nothing cached, then cached as far as 64 MiB reach",
        lambda f: by_size(f, lambda state: f"{state['cold_root_ms']:.0f}, {state['random_root_ms']:.0f} ms"),
    ),
    Row(
        "state",
        "writing that block and its finality, two synced batches",
        lambda f: by_size(f, lambda state: f"{state['random_commit_ms']:.0f} ms"),
    ),
    Row("state", "extrinsics root, per transfer", lambda f: f"{f['extrinsics_root_us_per_item']} µs"),
    Row(
        "rest",
        "`assay node --dev` to its first RPC answer; importing its web server alone",
        lambda f: f"{f['first_answer_s']} s; {f['web_server_s']} s",
    ),
    Row(
        "rest",
        "memory of a node at rest, MiB, and after ten minutes' blocks",
        lambda f: f"{f['resident_mib']}; {f['resident_mib_after_blocks']}",
    ),
    *(
        Row(
            "throughput",
            f"transfers per second into sealed blocks (no weight limit), {words}; anvil in the same run",
            partial(_throughput, name),
        )
        for name, words in (("single", "one a request"), ("batched", "a hundred a request"))
    ),
    Row(
        "reads",
        "header reads per second over HTTP, over one WebSocket; anvil in the same run",
        lambda f: f"{_reads(f, 'assay')}; {_reads(f, 'anvil')}",
    ),
    Row(
        "imports",
        "importing blocks of signed transfers, per second, in one process; with a signature worker beside it",
        lambda f: (
            f"{f['transfers_per_second_wall']:,}; {f['transfers_per_second_wall_with_a_worker']:,} transfers"
        ),
    ),
    Row(
        "imports",
        "where an import's CPU time goes, per transfer",
        lambda f: ", ".join(f"{name} {us} µs" for name, us in f["stages_cpu_us_per_transfer"].items()),
    ),
    Row(
        "imports",
        "importing empty blocks, finality included",
        lambda f: f"{f['empty_blocks']:,} in {f['empty_blocks_seconds_wall']} s",
    ),
    Row(
        "hotset",
        "executing a transfer on a state of so many accounts, between hot ones; between any",
        lambda f: ", ".join(
            f"{int(accounts):,}: {cost['hot']} µs; {cost['random']} µs"
            for accounts, cost in f["cpu_us_per_transfer"].items()
        ),
    ),
    Row(
        "hotset",
        "the state root's part of that",
        lambda f: ", ".join(
            f"{int(accounts):,}: {cost['hot_root']} µs; {cost['random_root']} µs"
            for accounts, cost in f["cpu_us_per_transfer"].items()
        ),
    ),
    Row(
        "transport",
        "MB/s of 64 KiB messages, encrypted, over loopback; a plain socket; py-libp2p",
        partial(_transport, "mb_per_s_64_kib"),
    ),
    Row(
        "transport",
        "messages of 1 KiB per second; a plain socket; py-libp2p",
        partial(_transport, "messages_per_s_1_kib"),
    ),
    Row(
        "transport",
        "the same in µs of CPU time, both ends together: 64 KiB; 1 KiB (encrypted / plain)",
        lambda f: "; ".join(
            f"{f['ours'][name]:,.1f} / {f['plain'][name]:,.1f}" for name in ("cpu_us_64_kib", "cpu_us_1_kib")
        ),
    ),
    Row(
        "transport",
        "µs there and back, 200 bytes; a plain socket; py-libp2p",
        partial(_transport, "round_trip_us_200_b"),
    ),
    Row("warp", "CPU time to join late by warp sync, both nodes together", _late),
    Row(
        "full_sync",
        "full sync between two processes, blocks of a few transfers per second; importing them alone",
        lambda f: f"{f['blocks_per_second']}; {f['import_blocks_per_second']}",
    ),
    Row(
        "network_load",
        "four validators under 1,000 transfers a second (missed): final per second, slots missed; CPU each",
        lambda f: (
            f"{f['final_per_second_until_the_last']}, {f['slots_missed']} of {f['slots']};"
            f" {f['cpu_ms_per_transfer_all_nodes']} ms in all four nodes together"
        ),
    ),
    Row(
        "soak",
        "half an hour of `assay up` (`make soak`): slots missed, forks, rounds, unpaid ones, MiB grown",
        lambda f: (
            f"{f['slots_missed']} of {f['slots']}, {f['forks']}, {f['rounds_closed']}, {f['rounds_unpaid']},"
            f" at most {max(_grown(each) for each in f['memory_mib'].values()):.0f}"
        ),
    ),
    Row(
        "siege",
        "14 attacks on a node (`make siege`): slots missed, most MiB, an honest peer's worst wait in ms",
        lambda f: (
            f"{f['all']['missed_attacked']} of {f['all']['slots_attacked']}, {f['all']['rss_peak_mib']},"
            f" {f['all']['honest_worst_ms']:,}"
        ),
    ),
    Row(
        "siege",
        "a newcomer in fast and in warp sync: seconds at rest, and with slow liars as its first guides",
        lambda f: ", ".join(
            f"{f['newcomers'][f'{way}_{guides}']['seconds']:.0f} ({way})"
            for way in ("fast", "warp")
            for guides in ("rest", "slow_guides")
        ),
    ),
    Row(
        "hosts",
        "four hosts, 20 cuts and 20 kills (`make hosts`): seconds until finality is back, median and worst",
        lambda f: "; ".join(
            f"{f[way]['median_seconds']:.1f}, {f[way]['worst_seconds']:.1f} ({way})"
            for way in ("cuts", "kills")
        ),
    ),
)


def by_size(figures: dict[str, Any], say: Callable[[dict[str, Any]], str]) -> str:
    """Return a figure of each measured size of the state."""
    return "; ".join(f"{say(state)} ({int(count):,})" for count, state in figures["states"].items())


def main() -> None:
    """Print the table, or write it."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--update", action="store_true", help="write README.md")
    if flags.parse_args().update:
        README.write_text(with_table(README.read_text()))
    else:
        print(table())


def table() -> str:
    """Return the table as Markdown."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    lines = ["| what | measured |", "|---|---|"]
    lines += [f"| {row.what} | {row.say(documents[row.benchmark]['figures'])} |" for row in ROWS]
    sources = ", ".join(
        f"`bench/{name}.py` on {found['date']} ({found['machine']})" for name, found in documents.items()
    )
    return "\n".join([*lines, "", f"From {sources}."])


def with_table(readme: str) -> str:
    """Return the README with the table of today's results in its place."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"README.md lacks the lines {BEGIN} and {END}"
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    main()
