"""register, stake, nominate, weights, metagraph: through the command's door, against a node that works."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from chain import client, connection
from chain.cli import main
from chain.commands.sealed import SealedRow, SealedRows
from chain.keys.pair import Keypair
from runtime.primitives import ss58
from tests.chain.commands.stepped_node import SteppedNode, moving, stepped_node

OPEN, SEALED = 2, 3
"""Subnets: rows of weights are set in the open, and sealed."""
ASY = 10**12
NUMBERS = {
    "tempo": 20, "immunity_period": 0, "freeze_window": 2, "max_uids": 4, "burn_start": ASY, "uid_bond": ASY,
    "burn_min": ASY // 10, "burn_max": 100 * ASY, "burn_half_life": 1_000, "weights_rate_limit": 0,
    "vesting_rounds": 0,
}  # fmt: skip


def address(uri: str) -> str:
    return ss58.encode(Keypair.from_suri(uri, "sr25519").public)


ALICE, BOB, CHARLIE, DAVE, EVE = (address(f"//{name}") for name in ("Alice", "Bob", "Charlie", "Dave", "Eve"))
FERDIE = address("//Ferdie")


def two_markets(config: dict[str, Any]) -> None:
    """Add two inference subnets with Alice as their judge; eras are short."""
    config["constants"]["Babe"] |= {"EpochDuration": 4}
    config["constants"]["Staking"] |= {"SessionsPerEra": 1, "BondingDuration": 1, "SlashDeferDuration": 0}
    for netuid, sealed in ((OPEN, 0), (SEALED, 1)):
        numbers = NUMBERS | {"commit_reveal": sealed}
        config["subnets"][str(netuid)] = {"kind": "Inference", "owner": EVE, "hyperparameters": numbers}
        config["neurons"][str(netuid)] = [
            {"hotkey": ALICE, "coldkey": ALICE}, {"hotkey": FERDIE, "coldkey": CHARLIE},
        ]  # fmt: skip
        config["incentive"][str(netuid)] = [0]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedNode]:
    with stepped_node(tmp_path_factory.mktemp("node"), two_markets) as running:
        running.step(2)
        yield running


@pytest.fixture(scope="module")
def connect(node: SteppedNode) -> Iterator[Any]:
    with moving(node) as connecting:
        yield connecting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, connect: Any) -> None:
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(connection, "SubstrateInterface", connect)


class Shell:
    """Runs commands."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._capsys = url, capsys

    def run(self, command: str, *more: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        code = main([*command.split(), *more, "--url", self._url])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def said(self, command: str, *more: str) -> str:
        """Return what a command that succeeds prints for people."""
        code, out, err = self.run(command, *more)
        assert code == 0, err
        return out

    def json(self, command: str, *more: str) -> Any:
        """Return what a command that succeeds prints for machines."""
        return json.loads(self.said(command, *more, "--json"))

    def refused(self, command: str, *more: str, code: int = 1) -> str:
        """Return the one line of a command that is refused."""
        ended, out, err = self.run(command, *more)
        assert (ended, out, err.count("\n")) == (code, "", 1), (ended, out, err)
        return err.removeprefix("assay: ").removesuffix("\n")


@pytest.fixture
def shell(node: SteppedNode, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(node.url, capsys)


def test_a_hotkey_is_registered_and_shown(shell: Shell, tmp_path: Path) -> None:
    price = int(shell.json(f"metagraph --netuid {OPEN} --view price")["price"])
    key = tmp_path / "key"
    key.write_text("//Dave\n")
    found = shell.json(f"register --netuid {OPEN} --key-file {key} --hotkey {EVE}")
    assert found == {
        "netuid": OPEN, "uid": 2, "hotkey": EVE, "block": found["block"], "burned": str(price),
    }  # fmt: skip
    assert shell.refused(f"register --netuid {OPEN} --key //Dave --hotkey {EVE}") == (
        "Neurons.burned_register was refused: The hotkey has a uid in this subnet already; register another "
        "hotkey."
    )
    dear = shell.refused(f"register --netuid {OPEN} --key //Dave --max-price 0.1")
    assert dear.startswith(
        "Neurons.burned_register was refused: The registration price is above max_price; wait until it has "
        "fallen or raise max_price. It burns 1."
    )
    shown = shell.json(f"metagraph --netuid {OPEN}")
    assert [(each["uid"], each["hotkey"], each["coldkey"]) for each in shown["neurons"]] == [
        (0, ALICE, ALICE), (1, FERDIE, CHARLIE), (2, EVE, DAVE),
    ]  # fmt: skip
    lines = shell.said(f"metagraph --netuid {OPEN}").splitlines()
    assert lines[0].startswith(f"subnet {OPEN}   inference   block #")
    assert lines[0].endswith("3 of 4 uids")
    assert lines[3].split()[:5] == ["uid", "hotkey", "role", "stake", "ASY"]
    assert [line.split()[:4] for line in lines[4:6]] == [
        ["0", f"{ALICE[:6]}…{ALICE[-6:]}", "judge", "10,000.000"],
        ["1", f"{FERDIE[:6]}…{FERDIE[-6:]}", "miner", "0.000"],
    ]


def test_past_eras_are_paid_out(shell: Shell, node: SteppedNode) -> None:
    node.step(8)
    paid = [json.loads(line) for line in shell.said(f"stake payout {ALICE} --key //Bob --json").splitlines()]
    assert [each["era"] for each in paid] == list(range(len(paid)))
    assert all(int(each["amount"]) > 0 and each["accounts"] == 1 for each in paid)
    assert shell.refused(f"stake payout {EVE} --key //Bob") == (
        f"nothing is left to pay out for {EVE}: it validated in no era that is unclaimed"
    )


@pytest.mark.parametrize(
    ("view", "first", "titles"),
    [
        (
            "prune",
            "uids are free: nobody is replaced",
            ["goes", "uid", "hotkey", "emission", "ASY", "immune"],
        ),
        ("price", "ASY are burnt, 1 ASY set aside", ["block", "price", "ASY"]),
        (
            "commits",
            "what opens in an epoch must be opened in it",
            ["uid", "hotkey", "sealed", "in", "epoch"],
        ),
        ("preview", "as if the epoch ran in #", ["uid", "hotkey", "permit", "emission", "ASY"]),
    ],
)
def test_every_view_has_a_table(shell: Shell, view: str, first: str, titles: list[str]) -> None:
    lines = shell.said(f"metagraph --netuid {SEALED} --view {view}").splitlines()
    assert first in " ".join(lines[:2])
    table = lines[lines.index("") + 1 :]
    assert table[0].split()[: len(titles)] == titles
    assert len(table) == {"price": 17, "commits": 1}.get(view, 3 if view == "preview" else len(table))


class Terminal(StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_gets_the_columns_that_fit(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", "60")
        patch.setattr(sys, "stdout", terminal)
        assert shell.run(f"metagraph --netuid {OPEN}")[0] == 0
    *table, left = terminal.getvalue().splitlines()[3:]
    assert table[0].split() == ["uid", "hotkey", "role", "stake", "ASY", "emission", "ASY"]
    assert max(map(len, table)) <= 60
    assert left.startswith("(more in a wider terminal, or a file: incentive %, dividends %, ")


def test_a_terminal_that_knows_few_letters_gets_others(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
        assert shell.run(f"metagraph --netuid {OPEN}")[0] == 0
        assert f"{ALICE[:6]}?{ALICE[-6:]}".encode() in written.getvalue()


def test_all_subnets_are_listed(shell: Shell) -> None:
    assert [each["netuid"] for each in shell.json("metagraph --view subnets")] == [1, OPEN, SEALED]
    titles, training, *_ = shell.said("metagraph --view subnets").splitlines()
    assert titles.split()[:4] == ["netuid", "kind", "price", "ASY"]
    assert training.split()[:3] == ["1", "training", "1.000"]


def test_what_there_is_not_is_said(shell: Shell) -> None:
    no_subnet = "there is no subnet 9: `assay metagraph --view subnets` lists them, --netuid chooses one"
    assert shell.refused("metagraph --netuid 9") == no_subnet
    nobody = f"nobody holds uid 77 of subnet {OPEN}: see `assay metagraph`"
    assert shell.refused(f"metagraph --netuid {OPEN} --uid 77") == nobody
    assert shell.refused(f"weights show --netuid {OPEN} --uid 77") == (
        f"uid 77 has no row in subnet {OPEN}: leave --uid out to see all"
    )
    assert shell.refused("weights set 1=1 --netuid 9 --key //Alice") == no_subnet
    assert shell.refused("weights set 1=1 --netuid 1 --key //Alice").endswith(
        "use Verification.commit_scores."
    )
    assert "no neuron holds the uids [3]" in shell.refused(f"weights set 3=1 --netuid {SEALED} --key //Alice")


def test_weights_are_set_in_the_open(shell: Shell, tmp_path: Path) -> None:
    row = tmp_path / "row.json"
    row.write_text('{"1": 0.25}')
    assert shell.json(f"weights set --file {row} --netuid {OPEN} --key //Alice")["state"] == "set"
    (shown,) = shell.json(f"weights show --netuid {OPEN}")
    assert (shown["uid"], shown["hotkey"], shown["weights"]) == (0, ALICE, [[1, 65_535]])
    assert shell.said(f"weights show --netuid {OPEN}").splitlines()[1].split() == [
        "0", f"{ALICE[:6]}…{ALICE[-6:]}", "1:100.00",
    ]  # fmt: skip
    assert f"weights     1:{65_535}" in shell.said(f"metagraph --netuid {OPEN} --uid 0")
    assert shell.refused(f"weights set 0=1 --netuid {OPEN} --key //Alice") == (
        "Weights.set_weights was refused: The row weighs the signer's own uid; leave it out."
    )
    assert shell.refused(f"weights set 1=1 --netuid {OPEN} --key //Ferdie").startswith(
        "Weights.set_weights was refused: The signer holds no validator permit"
    )


def test_sealed_weights_are_opened_in_their_epoch(shell: Shell, tmp_path: Path) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    done = shell.json("weights set 1=7", *kept)
    assert (done["state"], done["revealEpoch"]) == ("revealed", done["epoch"] + 1)
    (shown,) = shell.json(f"weights show --netuid {SEALED} --uid 0")
    assert shown["weights"] == [[1, 65_535]]
    assert shell.json(f"metagraph --netuid {SEALED} --uid 0")["commits"] == []
    assert list((tmp_path / "rows").glob("*/*")) == []
    assert "holds nothing that" in shell.refused("weights reveal", *kept)


def begin_epoch(shell: Shell, node: SteppedNode) -> None:
    """Go to the first block after an epoch of the subnet of sealed rows."""
    found = shell.json(f"metagraph --netuid {SEALED} --view commits")
    node.step(found["nextEpoch"] - found["block"] + 1)


class Interrupter:
    """A standard error that presses Ctrl-C once a command waits."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        if "Ctrl-C" in text:
            signal.raise_signal(signal.SIGINT)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_an_interrupted_wait_is_taken_up_again(
    shell: Shell, node: SteppedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    terminal = Interrupter()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs aside
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        assert shell.run("weights set 1=9", *kept)[:2] == (130, "")
    assert terminal.text.endswith("`assay weights reveal` opens it in its epoch\n")
    (row,) = (tmp_path / "rows").glob("*/*.json")
    assert json.loads(row.read_text())["values"] == [9]
    done = shell.json("weights reveal", *kept)
    assert done["state"] == "revealed"
    assert not row.exists()


def test_a_row_that_was_never_sent_is_sent_and_opened(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine goes down between the file and the transaction."""
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")

    async def power_cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client.Chain, "submit", power_cut)
        assert shell.run("weights set 1=5", *kept)[0] == 130
    (row,) = (tmp_path / "rows").glob("*/*.json")
    done = shell.json("weights reveal", *kept)
    assert done["state"] == "revealed"
    assert not row.exists()


def test_a_row_that_was_not_opened_in_time_is_void(shell: Shell, node: SteppedNode, tmp_path: Path) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    sealed = shell.json("weights set 1=3 --no-wait", *kept)
    assert sealed["state"] == "sealed"
    (path,) = (tmp_path / "rows").glob("*/*.json")
    row = path.read_text()
    path.write_text(json.dumps(json.loads(row) | {"values": [4]}))
    assert shell.refused("weights reveal", *kept).endswith("no sealed row (it was changed): move it away")
    path.write_text(row)
    again = shell.refused("weights set 1=4", *kept)
    assert again.startswith("Weights.commit_weights was refused: This hotkey has sealed a row in this epoch")
    node.step(2 * NUMBERS["tempo"])
    code, out, _ = shell.run("weights reveal --json", *kept)
    assert (code, json.loads(out)["state"]) == (1, "missed")
    assert not path.exists()


def test_who_sets_rows_alone_opens_those_that_are_due_as_well(
    shell: Shell, node: SteppedNode, tmp_path: Path
) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    assert shell.said("weights set 1=3 --no-wait", *kept).endswith("`assay weights reveal` does it then\n")
    begin_epoch(shell, node)
    shown = [json.loads(line) for line in shell.said("weights set 1=4 --no-wait --json", *kept).splitlines()]
    assert [(each["state"], each["epoch"]) for each in shown] == [
        ("revealed", shown[0]["epoch"]), ("sealed", shown[0]["epoch"] + 1),
    ]  # fmt: skip


@pytest.fixture
def rows(node: SteppedNode, connect: Any, tmp_path: Path) -> SealedRows:
    """What Alice has sealed, as the commands keep it."""
    genesis = bytes.fromhex(connect(node.url).get_block_hash(0)[2:])
    return SealedRows(tmp_path / "rows", genesis, SEALED, ALICE)


def test_a_row_that_is_refused_keeps_no_other_from_being_sealed(
    shell: Shell, node: SteppedNode, tmp_path: Path, rows: SealedRows
) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    epoch = shell.json(f"metagraph --netuid {SEALED} --view commits")["epoch"]
    rows.put(SealedRow(ALICE, SEALED, epoch, [0], [5], "0x" + 64 * "1", 0))  # weighs the judge itself
    assert shell.json("weights reveal --no-wait", *kept)["state"] == "unsent"
    begin_epoch(shell, node)
    code, out, _ = shell.run("weights set 1=4 --no-wait --json", *kept)
    refused, sealed = map(json.loads, out.splitlines())
    assert (code, refused["state"], sealed["state"]) == (1, "refused", "sealed")
    assert refused["why"].endswith("weighs the signer's own uid; leave it out.")
    assert len(rows.all()) == 2


def test_an_older_row_does_not_take_the_place_of_a_newer_one(
    shell: Shell, node: SteppedNode, tmp_path: Path, rows: SealedRows
) -> None:
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    assert shell.json("weights set 1=5 --no-wait", *kept)["state"] == "sealed"
    (row,) = rows.all()
    shell.said(f"register --netuid {SEALED} --key //Dave")
    rows.put(replace(row, uids=[2]))  # a crash left it unsent
    begin_epoch(shell, node)
    code, out, _ = shell.run("weights reveal --json", *kept)
    assert (code, sorted(json.loads(line)["state"] for line in out.splitlines())) == (
        0, ["replaced", "revealed"],
    )  # fmt: skip
    assert rows.all() == []
    assert shell.json(f"metagraph --netuid {SEALED} --view commits")["judges"] == []


def test_a_row_that_a_crashed_reveal_has_opened_is_done(
    shell: Shell, node: SteppedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block that has it is not final yet when `reveal` is called again."""
    kept = ("--directory", str(tmp_path / "rows"), "--netuid", str(SEALED), "--key", "//Alice")
    begin_epoch(shell, node)
    assert shell.json("weights set 1=5 --no-wait", *kept)["state"] == "sealed"
    begin_epoch(shell, node)

    async def opened_already(self: client.Chain, call: str, **_: Any) -> None:
        if call == "Weights.reveal_weights" and not seen:
            seen.append(call)
            raise client.Refused(call, "NotCommitted", "as the best block says")

    seen: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(client.Chain, "check", opened_already)
        assert shell.json("weights reveal", *kept)["state"] == "revealed"
    assert seen


def test_stake_is_bonded_backed_with_unbonded_and_withdrawn(shell: Shell, node: SteppedNode) -> None:
    dave = ("--key", "//Dave")
    assert shell.said("stake show", *dave).splitlines()[2] == "bonded      0 ASY, 0 ASY of them active"
    assert shell.refused(f"nominate {ALICE}", *dave) == (
        "Staking.nominate was refused: Not a controller account: nothing is bonded by it. Bond first: "
        "staking.bond."
    )
    assert shell.said("stake bond 2000.5", *dave).startswith(
        "bonded 2,000.5 ASY, 2,000.5 ASY are at stake, block #"
    )
    assert shell.json("stake bond 10", *dave)["amount"] == str(10 * ASY)
    assert shell.refused(f"nominate {EVE}", *dave).startswith(
        "Staking.nominate was refused: A nomination target"
    )
    assert shell.said(f"nominate {ALICE} {BOB}", *dave).startswith(
        "backing 2 validators from the next election"
    )
    shown = shell.json(f"stake show {DAVE}")
    assert (shown["role"], sorted(shown["nominates"]), shown["active"]) == (
        "nominator", sorted([ALICE, BOB]), str(2_010_500 * ASY // 1000),
    )  # fmt: skip
    assert shell.refused("stake withdraw", *dave).startswith("nothing is free yet (it is era ")
    assert shell.said("nominate --none", *dave).startswith("backing nobody")
    assert shell.said("stake unbond all", *dave).startswith("unbonding 2,010.5 ASY, free in era ")
    node.step(12)
    assert shell.json(f"stake show {DAVE}")["withdrawable"] == str(2_010_500 * ASY // 1000)
    assert shell.said("stake withdraw", *dave).startswith("withdrew 2,010.5 ASY, 0 ASY stay bonded, block #")
    listed = shell.json("nominate --list")
    assert {each["validator"] for each in listed} == {ALICE, BOB}
    assert shell.said("nominate --list").splitlines()[0].split()[0] == "validator"
