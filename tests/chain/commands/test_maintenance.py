"""The commands for a node that stands still: what goes out comes in again, and every refusal is one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from chain.cli import main
from chain.commands.block_files import (
    BlockFileError,
    SignedBlock,
    read_binary,
    read_json,
    write_binary,
    write_json,
)
from chain.storage.db import RocksDatabase
from chain.storage.disk_chain import write_state
from chain.storage.pruning import Pruning
from chain.storage.store import ChainStore
from runtime.primitives.scale import codec
from tests.chain.chains import Chain, justified, spec_with_slots

FIRST_SLOT = 850_000_000
"""in the past of any real clock"""
BLOCKS, FINAL = 9, 6
REFUSED, USAGE = 1, 2


class Home:
    """A base path with a chain's database, and the command line that means it."""

    def __init__(self, base: Path, spec: Path) -> None:
        self.base, self.spec = base, spec
        self.database = base / "chains" / "dev" / "db"

    def flags(self) -> tuple[str, ...]:
        return ("--chain", str(self.spec), "--base-path", str(self.base))

    def open(self, **options: Pruning) -> ChainStore:
        return ChainStore.open(self.database, spec_with_slots().state(), **options)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec_with_slots().source))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of nine blocks with remarks in them, six of them final."""
    directory = tmp_path_factory.mktemp("made")
    chain = Chain(directory / "db")
    for number in range(1, BLOCKS + 1):
        block = chain.grow(FIRST_SLOT + number, (chain.remark(number - 1),))
        header = chain.store.header(block)
        assert header is not None
        if number in (2, FINAL):
            chain.importer.finalize(block, justified(header, number).encode())
    chain.store.close()
    return directory / "db"


@pytest.fixture
def home(tmp_path: Path, spec: Path, made: Path) -> Home:
    """A base path with a copy of that database."""
    own = Home(tmp_path / "own", spec)
    shutil.copytree(made, own.database)
    return own


@pytest.fixture
def other(tmp_path: Path, spec: Path) -> Home:
    """A base path with nothing in it."""
    return Home(tmp_path / "other", spec)


Said = Any


@pytest.fixture
def assay(capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Said]:
    """Run a command; return its exit code, its output and what it says on standard error."""

    def run(home: Home, *arguments: str) -> tuple[int, bytes, str]:
        try:
            code = main([*arguments, *home.flags()])
        except SystemExit as ended:
            code = int(ended.code or 0)
        output, errors = capfdbinary.readouterr()
        return code, output, errors.decode()

    return run


def blocks_of(home: Home) -> list[SignedBlock]:
    """Return every block but the genesis."""
    store, found = home.open(), []
    for number in range(1, store.best_number + 1):
        block = store.hash_at(number)
        assert block is not None
        header, body = store.header(block), store.body(block)
        assert header is not None
        assert body is not None
        found.append(SignedBlock(header, body, store.justification(block)))
    store.close()
    return found


@pytest.mark.parametrize("binary", [(), ("--binary",)], ids=["json", "binary"])
def test_what_is_exported_is_imported(
    home: Home, other: Home, tmp_path: Path, assay: Said, binary: tuple[str, ...]
) -> None:
    file = str(tmp_path / "blocks")
    assert assay(home, "export-blocks", *binary, file) == (0, b"", "Exported 9 blocks, #1 to #9\n")
    said = assay(other, "import-blocks", *binary, file)
    assert said == (0, b"Imported 9 blocks, 0 were known. Best: #9, finalized: #6\n", "")
    assert blocks_of(other) == blocks_of(home)
    again = assay(other, "import-blocks", *binary, file, "--json")
    wanted = {"imported": 0, "known": 9, "bestNumber": 9, "finalizedNumber": 6}
    assert wanted.items() <= json.loads(again[1]).items()


def test_an_import_goes_on_where_it_was_stopped(home: Home, other: Home, tmp_path: Path, assay: Said) -> None:
    some, rest = str(tmp_path / "some"), str(tmp_path / "rest")
    assay(home, "export-blocks", "--to", "5", some)
    assay(home, "export-blocks", "--from", "4", rest)
    assert assay(other, "import-blocks", some)[1].startswith(b"Imported 5 blocks, 0 were known.")
    assert assay(other, "import-blocks", rest)[1] == (
        b"Imported 4 blocks, 2 were known. Best: #9, finalized: #6\n"
    )
    assert blocks_of(other) == blocks_of(home)


def test_the_binary_form_is_substrates(home: Home, assay: Said) -> None:
    code, output, _ = assay(home, "export-blocks", "--binary", "--from", "2", "--to", "3")
    second, third = blocks_of(home)[1:3]
    assert second.justification is not None
    compact = bytes([len(second.body) << 2])
    assert (code, output) == (
        0,
        (2).to_bytes(8, "little")
        + second.header.encode() + compact + b"".join(second.body)
        + b"\x01\x04FRNK" + codec(bytes).encode(second.justification)
        + third.header.encode() + compact + b"".join(third.body) + b"\x00",
    )  # fmt: skip


def test_the_json_form_is_substrates(home: Home, assay: Said) -> None:
    _, output, _ = assay(home, "export-blocks", "--from", "2", "--to", "3")
    second, third = (json.loads(line) for line in output.splitlines())
    block = blocks_of(home)[1]
    assert list(second) == ["block", "justifications"]
    assert second["block"]["header"]["number"] == "0x2"
    assert second["block"]["extrinsics"] == ["0x" + each.hex() for each in block.body]
    assert second["justifications"] == [[[70, 82, 78, 75], list(block.justification or b"")]]
    assert third["justifications"] is None


def test_json_needs_no_lines(home: Home) -> None:
    blocks, output = blocks_of(home), BytesIO()
    write_json(output, len(blocks), iter(blocks))
    together = output.getvalue().replace(b"\n", b"")
    pretty = b"".join(
        json.dumps(json.loads(each), indent=2).encode() for each in output.getvalue().splitlines()
    )
    assert list(read_json(BytesIO(together))) == list(read_json(BytesIO(pretty))) == blocks


def test_a_binary_file_that_is_cut_off_is_no_shorter_chain(home: Home) -> None:
    blocks, output = blocks_of(home)[:2], BytesIO()
    write_binary(output, 2, iter(blocks))
    whole = output.getvalue()
    assert list(read_binary(BytesIO(whole))) == blocks
    for size in range(0, len(whole), 7):
        with pytest.raises(BlockFileError, match=r"too short|is missing|is cut off or damaged"):
            list(read_binary(BytesIO(whole[:size])))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "block 1 in the file is cut off or damaged: "),
        (b"7", "block 1 in the file is no block: TypeError"),
        (b'{"block":{}}', "block 1 in the file is no block: KeyError('header')"),
        (b"\xff", "block 1 in the file is cut off or damaged: 'ascii' codec can't decode"),
        (b"[" * 100_000, "block 1 in the file is cut off or damaged: maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_block_is_one_line(
    other: Home, tmp_path: Path, assay: Said, text: bytes, said: str
) -> None:
    file = tmp_path / "blocks"
    file.write_bytes(text)
    code, output, errors = assay(other, "import-blocks", str(file))
    assert (code, output, errors.count("\n")) == (REFUSED, b"", 1)
    assert errors.startswith(f"assay: {file}: {said}")
    assert errors.endswith("Imported 0 blocks, 0 were known. Best: #0, finalized: #0\n")


def imported(blocks: list[SignedBlock], other: Home, file: Path, assay: Said) -> str:
    """Import blocks that are refused; return the line that says so."""
    with file.open("wb") as output:
        write_binary(output, len(blocks), iter(blocks))
    code, output, errors = assay(other, "import-blocks", "--binary", str(file))
    assert (code, output, errors.count("\n")) == (REFUSED, b"", 1)
    return str(errors)


def test_a_bad_block_is_named_with_its_fault(home: Home, other: Home, tmp_path: Path, assay: Said) -> None:
    blocks, file = blocks_of(home), tmp_path / "blocks"
    name = f"assay: block #4 (0x{blocks[3].header.hash().hex()})"
    short = replace(blocks[3], body=blocks[3].body[:1])
    line = imported([*blocks[:3], short, *blocks[4:]], other, file, assay)
    assert line.startswith(f"{name} is bad: ")
    assert line.endswith("Imported 3 blocks, 0 were known. Best: #3, finalized: #2\n")
    tampered = replace(blocks[5], justification=blocks[1].justification)
    line = imported([*blocks[:5], tampered], other, file, assay)
    assert line.startswith(f"assay: block #6 (0x{blocks[5].header.hash().hex()}) is bad: ")
    unsealed, _ = blocks[6].header.unsealed()
    line = imported([replace(blocks[6], header=unsealed)], other, file, assay)
    assert "is bad: bad seal: " in line
    line = imported(blocks[8:], other, file, assay)
    assert f"does not fit: its parent 0x{blocks[8].header.parent_hash.hex()} is not known here. " in line


def test_an_export_that_cannot_be_is_refused_before_it_begins(
    home: Home, tmp_path: Path, assay: Said
) -> None:
    file = tmp_path / "blocks"
    for arguments, said in (
        (("--to", "10"), "there is no block 10: the best is #9"),
        (("--from", "5", "--to", "4"), "there are no blocks from 5 to 4"),
    ):
        assert assay(home, "export-blocks", *arguments, str(file)) == (REFUSED, b"", f"assay: {said}\n")
    assert not file.exists()


def test_pruned_bodies_are_not_exported(home: Home, other: Home, tmp_path: Path, assay: Said) -> None:
    file = str(tmp_path / "blocks")
    assay(home, "export-blocks", file)
    other.open(states=Pruning(2), blocks=Pruning(1)).close()
    for _ in range(2):  # the genesis state is gone the second time
        assert assay(other, "import-blocks", file)[0] == 0
    said = "the body of block 1 has been pruned: export from a later one"
    assert assay(other, "export-blocks") == (REFUSED, b"", f"assay: {said}\n")
    assert assay(other, "export-blocks", "--from", "5", file)[0] == 0
    block = blocks_of(home)[1].header.hash().hex()
    code, _, errors = assay(other, "check-block", "2")
    assert (code, errors) == (
        REFUSED, f"assay: block #2 (0x{block}) cannot be checked: its body has been pruned\n"
    )  # fmt: skip


def test_a_block_is_executed_again(home: Home, assay: Said) -> None:
    for number, each in enumerate(blocks_of(home), 1):
        block = each.header.hash().hex()
        code, output, errors = assay(home, "check-block", str(number) if number % 2 else block)
        assert (code, errors) == (0, "")
        assert output.decode().startswith(f"block #{number} (0x{block}) holds: {len(each.body)} extrinsics, ")
        assert output.decode().endswith(f" changed keys, state root 0x{each.header.state_root.hex()}\n")
    assert "there is nothing to execute" in assay(home, "check-block", "0")[2]
    assert assay(home, "check-block", "10")[2].startswith("assay: there is no block 10: the best is #9 (0x")
    assert assay(home, "check-block", "0x" + "ab" * 32)[2].endswith(" is not known here\n")
    assert assay(home, "check-block", "zz") == (USAGE, b"", "assay: 'zz' is neither a height nor a hash\n")


def test_a_damaged_state_is_found(home: Home, assay: Said) -> None:
    account = blocks_of(home)[FINAL - 1]
    database = RocksDatabase.open(home.database)
    batch = database.batch()
    number = bytes.fromhex("26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac")
    write_state(batch, {number: b"\x2a\x00\x00\x00"}, {})
    database.write(batch)
    database.close()
    code, _, errors = assay(home, "check-block", str(FINAL))
    assert (code, errors) == (
        REFUSED,
        f"assay: block #6 (0x{account.header.hash().hex()}) leads to another value of 0x{number.hex()} than "
        "the database has: the database is damaged; purge the chain and sync again\n",
    )


def test_a_revert_stops_at_the_final_block(home: Home, assay: Said) -> None:
    blocks = blocks_of(home)
    code, output, _ = assay(home, "revert", "1")
    eighth, sixth = blocks[7].header.hash().hex(), blocks[5].header.hash().hex()
    assert (code, output.decode()) == (
        0, f"Reverted 1 blocks. Best: #8 (0x{eighth}), finalized: #6 (0x{sixth})\n"
    )  # fmt: skip
    assert json.loads(assay(home, "revert", "--json")[1])["reverted"] == 2
    assert assay(home, "revert") == (0, b"There aren't any non-finalized blocks to revert.\n", "")
    assert blocks_of(home) == blocks[:6]


def test_what_the_database_holds(home: Home, assay: Said) -> None:
    blocks = blocks_of(home)
    found = json.loads(assay(home, "chain-info", "--json")[1])
    assert found == {
        "chain": "Assay Development",
        "id": "dev",
        "genesisHash": f"0x{blocks[0].header.parent_hash.hex()}",
        "bestNumber": 9,
        "bestHash": f"0x{blocks[8].header.hash().hex()}",
        "finalizedNumber": 6,
        "finalizedHash": f"0x{blocks[5].header.hash().hex()}",
        "missing": None,
        "layout": 2,
        "statePruning": "256",
        "blocksPruning": "archive-canonical",
        "database": str(home.database),
    }
    lines = assay(home, "chain-info")[1].decode().splitlines()
    assert lines[2] == f"best            #9 ({found['bestHash']})"
    assert len(lines) == 8


def begin_restoring(home: Home, other: Home) -> None:
    """Put the whole state of the last final block into a new database, and stop there."""
    source, store = home.open(), other.open()
    header = source.header(source.finalized)
    assert header is not None
    found = source.state_at(source.finalized).prove_range(b"", 1 << 20, None)
    assert found.is_complete
    store.restore(header).put(b"", found.entries, None)
    source.close()
    store.close()


def test_a_state_under_restoration_is_left_to_the_node(home: Home, other: Home, assay: Said) -> None:
    begin_restoring(home, other)
    final = blocks_of(home)[FINAL - 1].header.hash().hex()
    part = f"a part of the state of #6 (0x{final}): start the node to go on"
    assert json.loads(assay(other, "chain-info", "--json")[1])["missing"] == part
    refused = f"assay: the database lacks {part}, or purge the chain\n"
    assert assay(other, "import-blocks", "/dev/null") == (REFUSED, b"", refused)
    assert assay(other, "revert") == (0, b"There aren't any non-finalized blocks to revert.\n", "")
    assert assay(other, "check-block", "6")[2].startswith("assay: there is no block 6: the best is #0")


def test_a_restored_chain_says_what_it_lacks(home: Home, other: Home, assay: Said, tmp_path: Path) -> None:
    begin_restoring(home, other)
    store, blocks = other.open(), blocks_of(home)
    store.finish_restoration(blocks[FINAL - 1].justification or b"")
    store.close()
    gap = "the database lacks the blocks #1 to #6: a running node fetches them from its peers"
    lines = assay(other, "chain-info")[1].decode().splitlines()
    assert lines[4] == f"missing         {gap.removeprefix('the database lacks ')}"
    assert assay(other, "export-blocks") == (REFUSED, b"", f"assay: {gap}\n")
    assert assay(other, "check-block", "3") == (REFUSED, b"", f"assay: block 3 is not here; {gap}\n")
    exported = tmp_path / "blocks.json"
    assert assay(home, "export-blocks", str(exported))[0] == 0
    code, _, errors = assay(other, "import-blocks", str(exported))
    assert (code, errors.count(f"this chain was restored above it. T{gap[1:]}")) == (REFUSED, 1)
    assert assay(home, "export-blocks", "--from", "7", str(exported))[0] == 0
    told = b"Imported 3 blocks, 0 were known. Best: #9, finalized: #6\n"
    assert assay(other, "import-blocks", str(exported))[:2] == (0, told)
    assert assay(other, "check-block", "7")[1].startswith(b"block #7 (0x")
    store = other.open()
    store.gap.fill([(each.header, each.body) for each in reversed(blocks[:FINAL])])
    store.close()
    assert json.loads(assay(other, "chain-info", "--json")[1])["missing"] is None
    assert [each.body for each in blocks_of(other)] == [each.body for each in blocks]


def test_purging_leaves_keys_and_guard(home: Home, assay: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = home.database.parent / "keystore" / "key"
    kept.parent.mkdir()
    kept.write_text("secret")
    monkeypatch.setattr("sys.stdin", StringIO("\n"))
    question = f'Are you sure to remove "{home.database}"? [y/N]: Aborted.\n'.encode()
    assert assay(home, "purge-chain") == (REFUSED, question, "")
    assert home.database.exists()
    assert assay(home, "purge-chain", "-y") == (0, f'"{home.database}" removed.\n'.encode(), "")
    assert [each.name for each in home.database.parent.iterdir()] == ["keystore"]
    assert kept.read_text() == "secret"
    assert assay(home, "purge-chain", "-y") == (0, f'"{home.database}" did not exist.\n'.encode(), "")


COMMANDS = (
    ("chain-info",), ("revert",), ("export-blocks",), ("check-block", "1"), ("import-blocks", "/dev/null"),
    ("purge-chain", "-y"),
)  # fmt: skip


def test_a_database_in_use_is_left_alone(home: Home, assay: Said) -> None:
    holder = (
        "import sys; from chain.storage.db import RocksDatabase; from pathlib import Path\n"
        "held = RocksDatabase.open(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(home.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        line = (
            f"assay: the database at {home.database} is in use by another node: "
            "stop that one, or choose another base path\n"
        )
        for command in COMMANDS:
            assert assay(home, *command) == (REFUSED, b"", line)
        process.communicate()
    assert len(blocks_of(home)) == BLOCKS


def test_no_chain_is_one_line(other: Home, assay: Said) -> None:
    for command in COMMANDS[:4]:
        line = f"assay: there is no chain at {other.database}: is --base-path right, and --chain?\n"
        assert assay(other, *command) == (REFUSED, b"", line)
    assert not other.base.exists()


def test_another_chain_is_one_line(home: Home, tmp_path: Path, assay: Said) -> None:
    source = json.loads(home.spec.read_text())
    source["genesis"]["runtimeGenesis"]["config"]["balances"]["balances"].pop()
    home.spec.write_text(json.dumps(source))
    genesis = blocks_of_genesis(home)
    for command in (*COMMANDS[:5], ("node", "--alice", "--rpc-port", "0", "--no-prometheus")):
        code, _, errors = assay(home, *command)
        assert (code, errors) == (
            REFUSED,
            f"assay: the database at {home.database} was made for another chain, with genesis 0x{genesis}: "
            "choose another base path, or purge the chain\n",
        )


def blocks_of_genesis(home: Home) -> str:
    store = home.open()
    found = store.genesis_hash.hex()
    store.close()
    return found


def test_a_directory_that_cannot_be_opened_is_one_line(home: Home, assay: Said) -> None:
    manifest = next(home.database.glob("MANIFEST-*"))
    manifest.unlink()
    for command in COMMANDS[:5]:
        code, _, errors = assay(home, *command)
        assert (code, errors.count("\n")) == (REFUSED, 1)
        assert errors.startswith(f"assay: the database at {home.database} cannot be opened: ")


def test_a_file_in_the_place_of_the_directory_is_one_line(other: Home, assay: Said) -> None:
    other.database.parent.parent.mkdir(parents=True)
    other.database.parent.write_text("not a directory")
    code, _, errors = assay(other, "import-blocks", "/dev/null")
    assert (code, errors.count("\n")) == (REFUSED, 1)
    assert errors.startswith(f"assay: the database at {other.database} cannot be opened: ")


def test_another_kind_of_pruning_is_one_line(home: Home, assay: Said) -> None:
    code, _, errors = assay(
        home, "node", "--alice", "--rpc-port", "0", "--no-prometheus", "--state-pruning", "archive"
    )
    assert (code, errors) == (
        REFUSED,
        f"assay: the database at {home.database} was made with --state-pruning 256, it cannot become "
        "archive: start with --state-pruning 256, or purge the chain and sync again\n",
    )
    code, _, errors = assay(home, "node", "--state-pruning", "all")
    assert code == USAGE
    assert "argument --state-pruning: 'all' is not archive, archive-canonical or a number of blocks" in errors
