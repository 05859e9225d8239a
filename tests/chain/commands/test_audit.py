"""rounds, audit prove, audit verify: against a node that works, then without one, then against liars."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from chain import connection
from chain.checkpoints import Checkpoint, Checkpoints
from chain.cli import main
from chain.client import Chain, Refused
from chain.commands import audit
from chain.commands.failure import Failure
from chain.common.block_data import WarpStep
from chain.keys.pair import Keypair
from chain.rpc.methods import grandpa
from chain.spec import ChainSpec
from chain.update_proof import MAX_FILE, PROOF, ProofRefused, StandingProof, Trusted, verify
from miners.casebook import Case
from runtime.pallets.checks import MetadataHashMode
from runtime.pallets.model_updates.types import Delivery
from runtime.primitives import ss58
from runtime.primitives.commitments import Score, score_commitment, update_commitment
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.grandpa import decode_justification
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt, statement
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime
from tests.chain.commands.stepped_node import SteppedNode, moving, stepped_node
from validators import audit_scores
from validators.commands.audit_scores import Config
from validators.scorebook import Row
from validators.trail import Rows

NETUID, ROUNDS, SALT, NOTHING = 1, 2, b"s" * 32, Hash(bytes(32))
LENGTH = 1_000
"""bytes of each payload"""


def public(uri: str) -> bytes:
    return Keypair.from_suri(uri, "sr25519").public


MINERS = ("//Miner1", "//Miner2")
ALICE, *HOTKEYS = (ss58.encode(public(uri)) for uri in ("//Alice", *MINERS))


def training(config: dict[str, Any]) -> None:
    """Give the dev chain short sessions and short rounds, Alice as judge and two miners."""
    config["constants"]["Babe"] |= {"EpochDuration": 5}
    config["constants"]["Staking"] |= {"SessionsPerEra": 1, "BondingDuration": 1, "SlashDeferDuration": 0}
    config["subnets"]["1"]["hyperparameters"] |= {
        "train_window": 6, "reveal_window": 4, "score_commit_window": 3, "challenge_window": 100,
    }  # fmt: skip
    config["neurons"]["1"] = [{"hotkey": each, "coldkey": each} for each in (ALICE, *HOTKEYS)]
    config["incentive"]["1"] = [0]


def specification() -> dict[str, Any]:
    source: dict[str, Any] = json.loads(files("genesis").joinpath("dev.json").read_text())
    training(source["genesis"]["runtimeGenesis"]["config"])
    return source


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedNode]:
    with stepped_node(tmp_path_factory.mktemp("node"), training) as running:
        running.step(2)
        yield running


@pytest.fixture(scope="module")
def quick(node: SteppedNode) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, moving(node) as connecting:
        patch.setattr(connection, "SubstrateInterface", connecting)
        yield


@dataclass(frozen=True)
class Caller:
    """Calls the node as a plain client, and as accounts whose transactions take effect in the next block."""

    node: SteppedNode

    def ask(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.node.url.replace("ws://", "http://"), body, headers)
        with urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "error" not in answer, answer
        return answer["result"]

    @property
    def genesis(self) -> Hash:
        return Hash(bytes.fromhex(self.ask("chain_getBlockHash", 0)[2:]))

    def send(self, uri: str, pallet: str, name: str, *arguments: object) -> None:
        account = AccountId(public(uri))
        nonce = self.ask("system_accountNextIndex", ss58.encode(account))
        extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
        versions = VERSION.spec_version, VERSION.transaction_version
        implied = ((), *versions, self.genesis, self.genesis, (), (), (), None, ())
        call, form = AssayRuntime.call(pallet, name, NETUID, *arguments), EXECUTIVE.format
        signature = Sr25519(Keypair.from_suri(uri, "sr25519").sign(form.payload(call, extra, implied)))
        self.ask("author_submitExtrinsic", "0x" + form.signed(call, account, signature, extra).hex())

    def wait(self, number: int, phase: str) -> None:
        """Let blocks pass until a round is in a phase."""
        for _ in range(60):
            found = self.ask("training_round", NETUID, number)
            if found is not None and found["state"]["phase"] == phase:
                return
            self.node.step()
        raise AssertionError(f"round {number} does not come to {phase}")


def digest_of(miner: str, number: int) -> Hash:
    return Hash(blake2_256(public(miner) + bytes([number])))


SCORES = [Score(1, 750_000, 5_000_000, 4_970_000, 0, 9), Score(2, 250_000, 5_000_000, 4_990_000, 0, -9)]
"""what Alice gives in the last round"""


def mined(caller: Caller) -> None:
    """Play rounds in which both miners reveal and nobody attests: each is void, and its updates stay."""
    caller.send("//Provider", "Training", "set_dataset", Hash(b"\xda" * 32), "http://d/")
    for number in range(1, ROUNDS + 1):
        caller.wait(number, "Train")
        for miner in MINERS:
            opened = AccountId(public(miner)), SALT, digest_of(miner, number), LENGTH, NOTHING
            sealed = update_commitment(caller.genesis, NETUID, number, *opened)
            caller.send(miner, "ModelUpdates", "commit", number, sealed)
        caller.wait(number, "Reveal")
        for miner in MINERS:
            caller.send(
                miner, "ModelUpdates", "reveal", number, digest_of(miner, number), LENGTH, NOTHING, SALT
            )
    caller.wait(ROUNDS, "ScoreCommit")
    sealed = score_commitment(caller.genesis, NETUID, ROUNDS, AccountId(public("//Alice")), SALT, SCORES)
    caller.send("//Alice", "Verification", "commit_scores", ROUNDS, sealed)
    caller.wait(ROUNDS, "ScoreReveal")
    caller.send("//Alice", "Verification", "reveal_scores", ROUNDS, SCORES, SALT)
    caller.wait(ROUNDS, "Void")


@pytest.fixture(scope="module")
def played(node: SteppedNode, quick: None) -> SteppedNode:
    mined(Caller(node))
    node.step(3)
    return node


@pytest.fixture(scope="module")
def proof(played: SteppedNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proof") / "update.json"
    assert main(["audit", "prove", "1", "1", HOTKEYS[1], "--out", str(path), "--url", played.url]) == 0
    return path


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "spec.json"
    path.write_text(json.dumps(specification()))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command and return what it prints."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    if code:
        assert (captured.out, captured.err.count("\n")) == ("", 1), captured
    return captured.err.removeprefix("assay: ") if code else captured.out


@pytest.fixture(scope="module")
def trusted(spec: Path) -> Trusted:
    return Trusted.of(ChainSpec.load(str(spec)))


def test_published_scores_are_computed_again(played: SteppedNode, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(audit_scores.main(Config(url=played.url, json=True)))
    found = json.loads(capsys.readouterr().out)
    (judge,) = found["judges"]
    assert (judge["hotkey"], judge["rounds"], judge["scores"], judge["differing"]) == (ALICE, 1, 2, 0)
    assert (found["first"], found["differences"], found["misjudged"]) == (1, [], [])
    asyncio.run(audit_scores.main(Config(url=played.url, from_=2, to=2)))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("rounds 2 to 2 of subnet 1: 2 of 2 scores follow from what is published;")


NONE_SUCH = "subnet 1 has had no round 500: the newest one is "


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"to": 500}, NONE_SUCH), ({"from_": 500}, NONE_SUCH), ({"from_": 1, "to": 500}, NONE_SUCH),
        ({"netuid": 7}, "there is no subnet 7: `assay metagraph --view subnets` lists them"),
    ],
)  # fmt: skip
def test_rounds_that_were_not_are_not_audited(played: SteppedNode, asked: dict[str, int], told: str) -> None:
    with pytest.raises(audit_scores.NothingToAudit, match=f"^{told}"):
        asyncio.run(audit_scores.main(Config(url=played.url, **asked)))  # type: ignore[arg-type]


def test_a_judge_reads_back_what_it_has_published(played: SteppedNode) -> None:
    async def read_back() -> list[Row]:
        async with Chain.connect(played.url, "//Alice") as chain:
            return await Rows(chain, NETUID).before(ROUNDS + 2)

    miners = map(public, MINERS)
    assert asyncio.run(read_back()) == [dict(zip(miners, SCORES, strict=True))]


def test_a_score_is_challenged_once(played: SteppedNode, capsys: pytest.CaptureFixture[str]) -> None:
    key, at = ("--key", MINERS[1]), ("--url", played.url)
    made = json.loads(said(capsys, "audit", "challenge", "1", "2", "0", "1", *key, "--json", *at))
    assert made == {
        "netuid": 1, "round": 2, "judge": 0, "miner": HOTKEYS[0], "deposit": str(10 * 10**12),
        "block": made["block"],
    }  # fmt: skip
    told = said(capsys, "audit", "challenge", "1", "2", ALICE, HOTKEYS[1], "--key", MINERS[0], *at)
    assert told.startswith(f"challenged what judge 0 measured of {HOTKEYS[1]} in round 2, block #")
    refused = {
        ("1", "1", "0", "1"): "0 published no scores in round 1; there are: none",
        ("1", "2", "7", "1"): f"7 published no scores in round 2; there are: uid 0 {ALICE}",
        ("1", "2", "0", "9"): "9 revealed no update in round 2; there are: uid 1",
        ("1", "99", "0", "1"): "subnet 1 has had no round 99: see `assay rounds --netuid 1`",
    }
    for asked, why in refused.items():
        assert said(capsys, "audit", "challenge", *asked, *key, *at, code=1).startswith(why)
    stranger = ("audit", "challenge", "1", "2", "0", "1", "--key", "//Eve")
    assert "Only a hotkey of the subnet may challenge" in said(capsys, *stranger, *at, code=1)


def test_rounds_are_listed(played: SteppedNode, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "rounds", "--json", "--url", played.url))
    assert [each["round"] for each in found[:2]] == [1, 2]
    first = found[0]
    assert (first["commits"], [each["uid"] for each in first["updates"]]) == (2, [1, 2])
    assert [each["update"]["miner"] for each in first["updates"]] == HOTKEYS
    title, row, *_ = said(capsys, "rounds", "--url", played.url).splitlines()
    assert title.split() == [
        "round", "phase", "blocks", "model", "commits", "updates", "accepted", "scored", "attested", "loss",
    ]  # fmt: skip
    assert row.split()[:2] == ["1", "Void"]
    assert row.split()[4:] == ["2/2", "2", "0", "0/1", "0"]
    (newest,) = json.loads(said(capsys, "rounds", "--last", "1", "--json", "--url", played.url))
    assert newest["round"] == found[-1]["round"]
    assert "subnet 9 has had no round" in said(capsys, "rounds", "--netuid", "9", "--url", played.url, code=1)
    assert said(capsys, "rounds", "--last", "0", code=2) == "--last is 0, must be 1 to 256\n"


def test_what_is_not_there_is_not_proven(played: SteppedNode, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--url", played.url)
    assert said(capsys, "audit", "prove", "1", "99", "1", *at, code=1).startswith(
        "subnet 1 has had no round 99 by the final block #"
    )
    assert said(capsys, "audit", "prove", "1", "1", ALICE, *at, code=1) == (
        f"{ALICE} revealed no update in round 1; there are: uid 1 {HOTKEYS[0]}, uid 2 {HOTKEYS[1]}\n"
    )
    assert said(capsys, "audit", "prove", "1", "1", "nobody", *at, code=2).startswith("MINER nobody is no")
    assert said(capsys, "audit", "prove", "65536", "1", "1", *at, code=2) == (
        "NETUID is 65536, must be 0 to 65535\n"
    )
    assert said(capsys, "audit", "prove", "4", *at, code=1).startswith(
        "the trail has no leaf 4 by the final block #"
    )
    assert said(capsys, "audit", "prove", "1", "1", *at, code=2) == (
        "UPDATE has 2 words: give NETUID ROUND MINER, its number in the trail, or 0x and at least 8 digits "
        "of its digest\n"
    )
    assert said(capsys, "audit", "prove", "0x00000000", *at, code=1).startswith(
        "no update of subnet 1 begins with 0x00000000 by the final block #"
    )
    for short in ("0x12", "0x1234567g"):
        told = said(capsys, "audit", "prove", short, *at, code=2)
        assert told.startswith(
            f"UPDATE is {short}: give NETUID ROUND MINER, its number in the trail, or 0x and"
        )
    assert said(capsys, "audit", "prove", str(1 << 64), *at, code=2).endswith(
        f"must be 0 to {(1 << 64) - 1}\n"
    )
    assert said(capsys, "audit", "prove", "1", "--netuid", "-1", *at, code=2).startswith("--netuid is -1")


def test_a_digest_names_an_update_too(
    played: SteppedNode, trusted: Trusted, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = digest_of(MINERS[1], 1).hex()
    for name in ("0x" + digest, f"0x{digest[:8]}…"):
        text = said(capsys, "audit", "prove", name, "--netuid", "1", "--url", played.url)
        assert verify(StandingProof.from_json(text), trusted).update.leaf == 1
    assert said(
        capsys, "audit", "prove", "0x" + digest, "--netuid", "9", "--url", played.url, code=1
    ).startswith("no update of subnet 9 begins with 0x")


def test_a_proof_is_checked_without_a_node(
    proof: Path, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(said(capsys, "audit", "verify", str(proof), "--chain", str(spec), "--json"))
    digest = digest_of(MINERS[1], 1)
    assert (found["netuid"], found["round"], found["miner"]) == (1, 1, HOTKEYS[1])
    assert (found["digest"], found["length"], found["commitIndex"]) == ("0x" + digest.hex(), LENGTH, 1)
    assert (found["leaf"], found["leafCount"]) == (1, 4)
    assert found["changesOfVoters"] == found["setId"] >= 2
    told = said(capsys, "audit", "verify", str(proof), "--chain", str(spec))
    assert told.startswith(f"proven  {HOTKEYS[1]} revealed in round 1 of subnet 1:\n")
    assert f"final       #{found['block']['number']} {found['block']['hash']}" in told


def test_a_proof_is_read_from_standard_input(
    proof: Path, spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def given(content: bytes, code: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content)))
        return said(capsys, "audit", "verify", "-", "--chain", str(spec), code=code)

    assert given(proof.read_bytes()).startswith(f"proven  {HOTKEYS[1]} revealed in round 1 of subnet 1:\n")
    assert given(b"\xff", code=1) == "standard input proves nothing: it is not UTF-8 text\n"
    assert given(b"[]", code=1).startswith("standard input proves nothing: it must be an object with")


def test_every_update_has_a_proof_by_uid_and_by_leaf_too(
    played: SteppedNode, trusted: Trusted, capsys: pytest.CaptureFixture[str]
) -> None:
    leaves = []
    for number in (1, 2):
        for uid in ("1", "2"):
            text = said(capsys, "audit", "prove", "1", str(number), uid, "--url", played.url)
            proven = verify(StandingProof.from_json(text), trusted)
            leaves.append(proven.update.leaf)
            assert said(capsys, "audit", "prove", str(leaves[-1]), "--url", played.url) == text
            assert (proven.update.round, proven.update.update.commit_index) == (number, int(uid) - 1)
    assert leaves == [0, 1, 2, 3]


def test_handovers_come_in_pages_where_there_are_many(
    played: SteppedNode, trusted: Trusted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grandpa, "MAX_STEPS", 1)
    first = Caller(played).ask("grandpa_warpProof", "0x" + trusted.genesis.block.hex())
    assert (len(first["steps"]), first["isFinished"]) == (1, False)
    text = said(capsys, "audit", "prove", "1", "1", "1", "--url", played.url)
    assert verify(StandingProof.from_json(text), trusted).changes >= 2


def test_another_chain_is_told(proof: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "audit", "verify", str(proof), "--chain", "local", code=1)
    assert told.startswith(f"{proof} proves nothing: it is of the chain with genesis 0x")
    assert told.endswith(
        ": give its specification with --chain FILE; `assay up` shows where its own is, and "
        "`assay up --keep DIR` leaves it in DIR/chain.json\n"
    )


def test_a_checkpoint_of_the_specification_is_trusted_instead(proof: Path, trusted: Trusted) -> None:
    held = StandingProof.from_json(proof.read_text())
    end = held.steps[1].header
    whole = verify(held, trusted)

    def trusting(block: bytes) -> Trusted:
        return replace(trusted, checkpoints=Checkpoints((Checkpoint(end.number, Hash(block), 2),)))

    proven = verify(held, trusting(end.hash()))
    assert (proven.point, proven.changes) == (whole.point, whole.changes - 2)
    assert verify(replace(held, steps=held.steps[1:]), trusting(end.hash())).point == whole.point
    with pytest.raises(ProofRefused, match=f"it does not pass through #{end.number}"):
        verify(held, trusting(bytes(32)))


def test_a_proof_may_begin_at_a_checkpoint(
    played: SteppedNode, proof: Path, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = StandingProof.from_json(proof.read_text()).steps[1].header
    flag = ("--checkpoint", str(Checkpoint(header.number, header.hash(), 2)))
    path, at = str(tmp_path / "short.json"), ("--url", played.url)
    assert "proven in block #" in said(capsys, "audit", "prove", "1", "2", "2", *flag, "--out", path, *at)
    assert StandingProof.from_json(Path(path).read_text()).steps[0].header == header
    found = json.loads(said(capsys, "audit", "verify", path, "--chain", str(spec), *flag, "--json"))
    assert (found["round"], found["leaf"]) == (2, 3)
    told = said(capsys, "audit", "verify", path, "--chain", str(spec), code=1)
    assert "is not proven final by set 0" in told
    other = ("--checkpoint", str(Checkpoint(header.number, NOTHING, 2)))
    assert "the node has no block" in said(capsys, "audit", "prove", "1", "2", "2", *other, *at, code=1)
    assert "is no checkpoint" in said(capsys, "audit", "verify", path, "--checkpoint", "5", code=2)


@dataclass(frozen=True)
class Lie:
    """A file that is not what a node gave, and how it is found out."""

    name: str
    proof: StandingProof
    told: str


def lies(held: StandingProof) -> list[Lie]:
    """Return forgeries that are well-formed."""
    update = held.update
    first, *rest = held.steps
    last = held.steps[-1]
    weak = decode_justification(first.justification)
    commit = replace(weak.commit, precommits=[])
    unsigned = WarpStep(first.header, replace(weak, commit=commit).encode())
    other_root = WarpStep(replace(last.header, state_root=NOTHING), last.justification)
    longer = replace(update, update=replace(update.update, length=LENGTH + 1))
    return [
        Lie("another update", replace(held, update=longer), "the path does not lead from the update"),
        Lie("another round", replace(held, update=replace(update, round=2)), "the path does not lead"),
        Lie("another leaf", replace(held, update=replace(update, leaf=2)), "the path does not lead"),
        Lie("no path", replace(held, update=replace(update, path=[])), "the path does not lead"),
        Lie("other peaks", replace(held, update=replace(update, peaks=[NOTHING])), "another trail"),
        Lie("more leaves", replace(held, update=replace(update, leaf_count=9)), "another trail"),
        Lie("a node less", replace(held, state=held.state[:-1]), "is not proven: the proof lacks"),
        Lie("no nodes", replace(held, state=[]), "is not proven: the proof lacks"),
        Lie("no steps", replace(held, steps=[]), "no final block above what is trusted"),
        Lie("a handover left out", replace(held, steps=rest), "is not proven final by set 0"),
        Lie("steps twice", replace(held, steps=[first, first, *rest]), "does not lie above"),
        Lie("no votes", replace(held, steps=[unsigned, *rest]), "no precommits"),
        Lie("another state", replace(held, steps=[*held.steps[:-1], other_root]), "is not proven final"),
        Lie("another genesis", replace(held, genesis=bytes(32)), "it is of the chain with genesis"),
    ]


def test_forgeries_are_told_apart(
    proof: Path, spec: Path, trusted: Trusted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lie in lies(StandingProof.from_json(proof.read_text())):
        with pytest.raises(ProofRefused) as refused:
            verify(StandingProof.from_json(lie.proof.to_json()), trusted)
        assert lie.told in str(refused.value), lie.name
    path = tmp_path / "forged.json"
    path.write_text(lie.proof.to_json())
    told = said(capsys, "audit", "verify", str(path), "--chain", str(spec), code=1)
    assert told == f"{path} proves nothing: {refused.value}\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it must be an object with format, genesis, update, state, steps, and nothing else"),
        (b'{"format":1,"genesis":2,"update":3,"state":4,"steps":5}', "its format is '1'"),
    ],
)
def test_what_is_no_proof_is_one_line(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert told in said(capsys, "audit", "verify", str(path), "--chain", str(spec), code=1)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("genesis", 5, "genesis must be 0x and hex digits"),
        ("genesis", "0xzz", "genesis is not hex"),
        ("update", "0x00", "it is damaged"),
        ("state", {}, "state must be a list of at most 256"),
        ("state", ["0x"] * 257, "state must be a list of at most 256"),
        ("state", [None], "state must be 0x and hex digits"),
        ("steps", ["0x"] * 65_537, "steps must be a list of at most 65536"),
        ("steps", ["0x" + "ff" * 64], "it is damaged"),
    ],
)
def test_damaged_parts_are_named(proof: Path, name: str, value: object, told: str) -> None:
    with pytest.raises(ProofRefused, match=told):
        StandingProof.from_json(json.dumps({**json.loads(proof.read_text()), name: value}))


def test_files_that_are_none_or_too_long(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = ("--chain", str(spec))
    long = tmp_path / "long"
    with long.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert said(capsys, "audit", "verify", str(long), *chain, code=1) == (
        f"{long} proves nothing: it is longer than 64 MiB\n"
    )
    for path in (tmp_path, tmp_path / "missing", Path("/dev/zero")):
        assert "is no file" in said(capsys, "audit", "verify", str(path), *chain, code=2)


def test_no_flipped_bit_proves_anything_else(proof: Path, trusted: Trusted) -> None:
    """Whatever is changed of a file's parts, it proves the same update or nothing."""
    true, draw = verify(StandingProof.from_json(proof.read_text()), trusted).update, random.Random(7)
    text = json.loads(proof.read_text())
    for _ in range(60):
        name = draw.choice(["update", "state", "steps"])
        raw = [text[name]] if name == "update" else list(text[name])
        at = draw.randrange(len(raw))
        changed = bytearray.fromhex(raw[at][2:])
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        raw[at] = "0x" + changed.hex()
        forged = {**text, name: raw[0] if name == "update" else raw}
        try:
            found = verify(StandingProof.from_json(json.dumps(forged)), trusted)
        except ProofRefused:
            continue
        assert PROOF.encode(found.update) == PROOF.encode(true)


def signed(sent: Hash, genesis: Hash) -> Receipt:
    """Return what the first miner signs about its update of the first round."""
    key, digest = Keypair.from_suri(MINERS[0], "sr25519"), digest_of(MINERS[0], 1)
    message = statement(genesis, NETUID, 1, AccountId(key.public), digest, sent, LENGTH)
    return Receipt(digest, sent, LENGTH, key.sign(message))


async def refusals(url: str, receipts: Sequence[Receipt]) -> list[str]:
    """Ask as a judge does whether receipts are evidence."""
    told: list[str] = []
    async with Chain.connect(url, "//Bob") as chain:
        for receipt in receipts:
            case = Case(1, public(MINERS[0]), (receipt,))
            about = {"netuid": NETUID, "round": 1, "miner": HOTKEYS[0], "evidence": case.evidence()}
            try:
                await chain.check("ModelUpdates.submit_evidence", **about)
                told.append("")
            except Refused as refused:
                told.append(refused.name)
    return told


async def updates_by_key(url: str) -> tuple[list[Any], list[Any]]:
    """Return the keys under which a client finds updates: below a subnet, and below its first round."""
    async with Chain.connect(url, "//Bob") as chain:
        found = [await chain.query_map("ModelUpdates.Updates", *keys) for keys in ((NETUID,), (NETUID, 1))]
    return found[0], found[1]


def test_no_part_of_a_key_is_lost(played: SteppedNode) -> None:
    below_subnet, below_round = asyncio.run(updates_by_key(played.url))
    first = [(miner, update) for (number, miner), update in below_subnet if number == 1]
    assert first == below_round
    assert {update["miner"] for miner, update in first if miner == update["miner"]} == set(HOTKEYS)


def test_evidence_costs_a_miner_its_seat(played: SteppedNode, capsys: pytest.CaptureFixture[str]) -> None:
    caller = Caller(played)
    true, lie = (signed(sent, caller.genesis) for sent in (digest_of(MINERS[0], 1), NOTHING))
    assert asyncio.run(refusals(played.url, (true, lie))) == ["FaithfulDelivery", ""]
    accused = AccountId(public(MINERS[0]))
    caller.send("//Bob", "ModelUpdates", "submit_evidence", 1, accused, Delivery(lie))
    played.step()
    assert caller.ask("subnet_neuron", NETUID, 1) is None
    first = json.loads(said(capsys, "rounds", "--json", "--url", played.url))[0]
    assert [each["isGuilty"] for each in first["updates"]] == [True, False]
    assert "uid 1 guilty" in said(capsys, "rounds", "--url", played.url).splitlines()[1]


@pytest.mark.parametrize(
    ("checkpoint", "since"),
    [(None, "above the genesis"), (Checkpoint.parse(f"7:0x{7:064x}:1"), "from block #7 on")],
    ids=["genesis", "checkpoint"],
)
async def test_where_nothing_is_final_it_is_said_since_when(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint | None, since: str
) -> None:
    answers = {
        "chain_getBlockHash": "0x" + "00" * 32,
        "chain_getHeader": {"number": "0x7", "parentHash": "0x" + "06" * 32},
        "grandpa_warpProof": {"steps": [], "isFinished": True},
    }

    @asynccontextmanager
    async def reading(url: str) -> AsyncIterator[Any]:
        async def ask(method: str, *_: object) -> Any:
            return answers[method]

        yield ask

    monkeypatch.setattr("chain.commands.audit.reading", reading)
    with pytest.raises(Failure, match=f"^nothing is final {since} yet: wait for a block with votes"):
        await audit._asked("", 1, checkpoint)
