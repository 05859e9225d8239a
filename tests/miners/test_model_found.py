"""A subnet made on a running chain: its owner names the first model, numbers change, and a replica follows.

A real node, whose time goes on with each transaction; real payloads of a small model.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from substrateinterface import SubstrateInterface

from chain import client, connection
from chain.client import Chain, Round
from miners import model_found
from miners.aggregate import aggregate
from miners.blobs.client import BlobClient
from miners.commands.model_found import Config
from miners.joining import CannotJoin
from miners.layout import ModelConfig, parameters_of
from miners.parameters import TrainingParameters
from miners.payload import compress, encode, shape_of
from miners.replica import Replica, genesis_weights
from miners.shelf import Shelf
from miners.stock import export
from miners.weights import MasterWeights, initial
from runtime.primitives.commitments import Score, score_commitment, update_commitment
from runtime.primitives.types import AccountId, Hash
from tests.chain.commands.stepped_node import SteppedNode, stepped_node

NETUID = 2
MODEL = ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=32)
NUMBERS = {
    "hidden": 16, "layers": 1, "heads": 2, "feed_forward": 32, "sequence": 32, "chunk": 256, "top_k": 16,
    "tempo": 8, "freeze_window": 2, "train_window": 40, "reveal_window": 40, "score_commit_window": 40,
    "score_reveal_window": 40, "attest_window": 40, "audit_rate_ppm": 0, "burn_start": 10**12,
}  # fmt: skip
URL = "http://127.0.0.1:9/"
SALT = bytes(32)
BLOCKS_TO_FINALITY = 3


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedNode]:
    with stepped_node(tmp_path_factory.mktemp("node"), lambda config: None) as running:
        running.step(2)
        yield running


@pytest.fixture(scope="module")
def connect(node: SteppedNode) -> Iterator[Any]:
    """Connect once, as it takes a second to read metadata; a transaction is final when it is answered."""

    class Prompt(SubstrateInterface):  # type: ignore[misc]
        def rpc_request(self, method: str, params: Any, *more: Any) -> Any:
            answer = super().rpc_request(method, params, *more)
            if method == "author_submitExtrinsic":
                node.step(BLOCKS_TO_FINALITY)
            return answer

        def close(self) -> None:
            """Stay open for the next client."""

    made = Prompt(node.url)
    yield lambda url, **options: made
    SubstrateInterface.close(made)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, connect: Any) -> None:
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(connection, "SubstrateInterface", connect)


class Stage:
    """Everybody who takes part, and their node."""

    def __init__(self, node: SteppedNode, owner: Chain, judge: Chain, miner: Chain) -> None:
        self.node, self.owner, self.judge, self.miner = node, owner, judge, miner

    async def create(self) -> None:
        """Create the subnet, as root, and wait until the judge has its permit."""
        settings = [{"parameter": name, "value": value} for name, value in NUMBERS.items()]
        arguments = {"kind": "Training", "owner": self.owner.address, "settings": settings}
        call = {"call_module": "Subnets", "call_function": "create", "call_args": arguments}
        await self.judge.submit("Sudo.sudo", call=call)
        for chain in (self.judge, self.miner):
            await chain.register(NETUID, chain.address, 10**15)
        self.node.step(NUMBERS["tempo"])

    async def opened(self) -> Round:
        """Return the round that is open, once it is."""
        return await self.reached("Train")

    async def reached(self, phase: str) -> Round:
        """Return the current round in a phase."""
        for _ in range(60):
            found = await self.miner.round(NETUID)
            if found is not None and found.phase == phase:
                return found
            self.node.step()
        raise AssertionError(f"no round in {phase}")

    async def play(self, base: MasterWeights, shelf: Shelf) -> MasterWeights:
        """Play the round that is open; its payload lies on a shelf. Return the model after it."""
        current = await self.opened()
        number, parameters = current.number, TrainingParameters.of(current)
        vector = np.random.default_rng(number).standard_normal(parameters_of(MODEL)).astype(np.float32) / 100
        payload = compress(vector, shape_of(parameters, base.root()))
        blob = encode(payload)
        await self._mine(number, shelf.kept.put(blob), len(blob))
        after = aggregate(base, [(payload, 65_535)], parameters)
        await self._judge(number, after.root())
        ended = await self.judge.round(NETUID, number)
        assert ended is not None
        assert (ended.phase, ended.new_root) == ("Closed", after.root())
        return after

    async def _mine(self, number: int, digest: bytes, length: int) -> None:
        chain, place = self.miner, {"netuid": NETUID, "round": number}
        opened = (Hash(digest), length, Hash(bytes(32)))
        genesis, who = Hash(chain.genesis_hash), AccountId(chain.hotkey)
        sealed = update_commitment(genesis, NETUID, number, who, SALT, *opened)
        await chain.submit("ModelUpdates.commit", **place, commitment=_hex(sealed))
        await self.reached("Reveal")
        await chain.submit(
            "ModelUpdates.reveal", **place, digest=_hex(digest), length=length, ef_digest=_hex(opened[2]),
            salt=_hex(SALT),
        )  # fmt: skip

    async def _judge(self, number: int, root: bytes) -> None:
        chain, place = self.judge, {"netuid": NETUID, "round": number}
        uid = await chain.uid(NETUID, self.miner.hotkey)
        assert uid is not None
        scores = [Score(uid, 1_000_000, 5_000_000, 4_000_000, 0, 0)]
        genesis, who = Hash(chain.genesis_hash), AccountId(chain.hotkey)
        sealed = score_commitment(genesis, NETUID, number, who, SALT, scores)
        await self.reached("ScoreCommit")
        await chain.submit("Verification.commit_scores", **place, commitment=_hex(sealed))
        await self.reached("ScoreReveal")
        rows = [{name: getattr(scores[0], name) for name in Score.__dataclass_fields__}]
        await chain.submit("Verification.reveal_scores", **place, scores=rows, salt=_hex(SALT))
        await self.reached("Attest")
        await chain.submit("Training.attest_root", **place, root=_hex(root))


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


@pytest.fixture
async def stage(node: SteppedNode) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as opened:
        keys = ("//Eve", "//Alice", "//Ferdie")
        owner, judge, miner = [await opened.enter_async_context(Chain.connect(node.url, key)) for key in keys]
        yield Stage(node, owner, judge, miner)


async def found(config: Config, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command; return what it prints."""
    capsys.readouterr()
    await model_found.main(config)
    return capsys.readouterr().out.removesuffix("\n")


async def test_a_subnet_made_on_a_running_chain_trains_and_is_replayed_with_the_numbers_of_its_rounds(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = stage.node.url
    await stage.create()
    first = genesis_weights(NETUID, MODEL)
    told = {"netuid": NETUID, "model_root": _hex(first.root()), "parameters": parameters_of(MODEL)}
    asked = json.loads(await found(Config(NETUID, url=url, json=True), capsys))
    assert asked == {**told, "named": None, "begun": False}
    with pytest.raises(client.Refused, match="sign with the owner's coldkey"):
        await found(Config(NETUID, url=url, key="//Ferdie"), capsys)

    export(initial(replace(MODEL, hidden=32), b"wider"), tmp_path / "wider")
    with pytest.raises(CannotJoin, match="than the model of subnet 2: hidden is 32, must be 16"):
        await found(Config(NETUID, url=url, key="//Eve", model=tmp_path / "wider"), capsys)
    other = initial(MODEL, b"imported")
    export(other, tmp_path / "other")
    line = await found(Config(NETUID, url=url, key="//Eve", model=tmp_path / "other"), capsys)
    assert line.endswith(
        f"is {tmp_path}/other, and what subnet 2 begins with; serve it: assay model import {tmp_path}/other "
        "--into JUDGE"
    )
    named = json.loads(await found(Config(NETUID, url=url, key="//Eve", json=True), capsys))
    assert named == {**told, "named": told["model_root"], "begun": False}

    await stage.owner.submit("Training.set_dataset", netuid=NETUID, root=_hex(bytes(32)), url=URL)
    shelf = Shelf(tmp_path)
    models = [first, await stage.play(first, shelf)]
    await stage.owner.submit("Subnets.set_hyperparameter", netuid=NETUID, name="top_k", value=8)
    stage.node.step(NUMBERS["tempo"])
    models.append(await stage.play(models[-1], shelf))  # open before it changed
    models.append(await stage.play(models[-1], shelf))
    current = await stage.opened()
    steps = [await stage.miner.lineage(NETUID, number) for number in (1, 2, 3)]
    assert [step.parameters["top_k"] for step in steps if step is not None] == [16, 16, 8]
    assert current.parameters == steps[2].parameters
    shown = await stage.miner.rpc("training_round", NETUID, 3)
    assert {"parameter": "top_k", "value": "8"} in shown["numbers"]
    sets = (await stage.miner.rpc("training_lineage", NETUID, 1, 3))["parameterSets"]
    assert [each["version"] for each in sets] == [1, shown["state"]["parameters"]] == [1, 2]
    assert sets[1]["numbers"] == shown["numbers"] != sets[0]["numbers"]

    async with BlobClient() as blobs:
        replica = Replica(stage.miner, blobs, shelf, tmp_path, NETUID, MODEL)
        assert (await replica.at(4, current.base_root)).root() == models[3].root()
    line = await found(Config(NETUID, url=url, model=tmp_path / "other"), capsys)
    assert line.endswith(f"subnet 2 has begun without it, and is at {_hex(models[3].root())}")
    with pytest.raises(client.Refused, match="A round has opened, and its model goes on"):
        await found(Config(NETUID, url=url, key="//Eve"), capsys)
