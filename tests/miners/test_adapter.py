"""Fine-tuning: the flat vector is that of a LoRA adapter, and the model below it stays as it is."""

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from chain.client import Axon
from miners.aggregate import aggregate
from miners.blobs.client import BlobClient
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.compressor import Compressor
from miners.data import UnusableCorpus
from miners.layout import ModelConfig, layout, parameters_of
from miners.model import build, loss, train
from miners.models import nodes_of
from miners.parameters import TrainingParameters
from miners.payload import decode, encode, shape_of
from miners.replica import Replica
from miners.shelf import Shelf
from miners.stock import export, read
from miners.weights import MasterWeights, initial
from tests.miners.test_model import batches
from tests.miners.test_replica import UNHURRIED, Ledger

SMALL = TrainingParameters(
    model=ModelConfig(
        hidden=32, layers=2, heads=2, kv_heads=1, feed_forward=48, sequence=32, tie_embeddings=1, lora_rank=4
    ),
    inner_steps=8,
    learning_rate_ppm=50_000,
    warmup_steps=1,
    chunk=64,
    top_k=32,
)
BASE = initial(SMALL.model.whole(), b"base")
FRESH = MasterWeights(SMALL.model, initial(SMALL.model, b"adapter").words, BASE)
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="no peft here: pip install '.[lora]'")


def learned(seed: int = 3) -> MasterWeights:
    """An adapter that changes something."""
    words = np.random.default_rng(seed).integers(-(1 << 22), 1 << 22, len(FRESH.words), dtype=np.int32)
    return replace(FRESH, words=words)


def logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.from_numpy(batches(1, 5)[0])
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=tokens).logits
    return found


def test_the_layout_is_that_of_peft() -> None:
    named = {
        name.replace(".default", ""): tuple(one.shape)
        for name, one in build(FRESH, CPU).named_parameters()
        if one.requires_grad
    }
    assert named == {one.name: one.shape for one in layout(SMALL.model)}
    assert parameters_of(SMALL.model) == sum(np.prod(shape) for shape in named.values())


def test_an_adapter_that_has_learned_nothing_changes_nothing() -> None:
    assert torch.equal(logits(build(FRESH, CPU)), logits(build(BASE, CPU)))
    assert not torch.equal(logits(build(learned(), CPU)), logits(build(BASE, CPU)))


def test_a_round_of_an_adapter_lowers_the_loss_and_leaves_the_base_alone() -> None:
    hidden, shape = np.concatenate(batches(8, 99)), shape_of(SMALL, FRESH.root())
    trained = train(FRESH, batches(8, 1), SMALL)
    assert len(trained.delta) == parameters_of(SMALL.model)
    payload = decode(encode(Compressor(SMALL).compress(trained.delta, shape.base)), shape)
    after = aggregate(FRESH, [(payload, 1_000)], SMALL)
    assert loss(after, hidden) < loss(FRESH, hidden) - 0.01
    assert after.base is BASE
    assert after.root() != FRESH.root()


def test_an_adapter_alone_cannot_be_computed() -> None:
    with pytest.raises(ValueError, match="an adapter needs the model it belongs to"):
        build(replace(FRESH, base=None), CPU)


def test_an_export_is_the_merged_model_and_the_adapter_beside_it(tmp_path: Path) -> None:
    adapter = learned()
    export(adapter, tmp_path / "tuned")
    export(BASE, tmp_path / "base")
    wanted = logits(build(adapter, CPU))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-5)
    below = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tuned = import_module("peft").PeftModel.from_pretrained(below, tmp_path / "tuned" / "adapter")
    assert torch.equal(logits(tuned), wanted)
    assert read(tmp_path / "tuned").config == BASE.config  # a subnet may begin with it


class Subnet(Ledger):
    """A chain whose data set names a model."""

    provider: str

    async def dataset(self, netuid: int) -> tuple[bytes, str]:
        return bytes(32), self.provider

    async def owner(self, netuid: int) -> bytes | None:
        return None


async def test_the_base_comes_from_the_provider_and_then_from_any_judge(tmp_path: Path) -> None:
    store, judge = BlobStore(tmp_path / "provider"), tmp_path / "judge"
    store.put_all(nodes_of(BASE))
    alone, ledger = replace(FRESH, base=None), Subnet()
    async with BlobClient(**UNHURRIED) as blobs:
        async with serve(store, "127.0.0.1", 0) as ledger.provider:
            first = Replica(ledger, blobs, Shelf(judge), judge, 1, SMALL.model, mirrors=True)  # type: ignore[arg-type]
            founded = await first.founded(alone, BASE.root())
            assert founded.base is not None
            assert (founded.base.root(), founded.root()) == (BASE.root(), alone.root())
        async with serve(Shelf(judge), "127.0.0.1", 0) as url:
            ledger.judges = [Axon(b"\x02" * 32, url)]
            home = tmp_path / "late"
            late = Replica(ledger, blobs, Shelf(home), home, 1, SMALL.model)  # type: ignore[arg-type]
            again = await late.founded(alone, BASE.root())
            assert again.base is not None
            assert again.base.root() == BASE.root()


async def test_a_data_set_without_a_base_is_said(tmp_path: Path) -> None:
    async with BlobClient() as blobs:
        replica = Replica(Ledger(), blobs, Shelf(tmp_path), tmp_path, 1, SMALL.model)  # type: ignore[arg-type]
        with pytest.raises(UnusableCorpus, match="trains an adapter, and its data set names no model for it"):
            await replica.founded(FRESH, None)
