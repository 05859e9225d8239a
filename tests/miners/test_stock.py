"""A model that leaves for stock transformers, and comes back bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from miners.commands.model_import import Config
from miners.layout import ModelConfig, parameters_of
from miners.model import build
from miners.model_import import main as import_model
from miners.stock import REST_FILE, WEIGHTS_FILE, Occupied, export, read
from miners.weights import IMPORT_LIMIT, ONE, MasterWeights, RefusedWeights, initial

SMALL = ModelConfig(hidden=16, layers=1, heads=2, feed_forward=24, sequence=32)
SHAPES = {
    "plain": SMALL,
    "grouped": ModelConfig(hidden=32, layers=2, heads=4, kv_heads=2, feed_forward=48, sequence=64),
    "tied": ModelConfig(hidden=16, layers=1, heads=2, feed_forward=24, sequence=32, tie_embeddings=1),
    "numbers": ModelConfig(
        vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=1, feed_forward=24, sequence=32,
        rope_theta=500_000, norm_eps_e9=10_000,
    ),
}  # fmt: skip


def trained(config: ModelConfig, seed: int) -> MasterWeights:
    """A model whose weights use all the bits that there are."""
    dice, size = np.random.default_rng(seed), parameters_of(config)
    limit = IMPORT_LIMIT * ONE
    words = dice.integers(-limit + 1, limit, size) >> dice.integers(0, 31, size)
    return MasterWeights(config, words.astype(np.int32))


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_nothing_is_lost_on_the_way(tmp_path: Path, config: ModelConfig) -> None:
    sent = trained(config, 7)
    export(sent, tmp_path / "model")
    found = read(tmp_path / "model")
    assert found.config == config
    assert found.root() == sent.root()


def test_nothing_of_others_is_deleted_and_nothing_is_left_of_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "model.half" / "theirs"
    theirs.parent.mkdir()
    theirs.write_text("work")
    export(initial(SMALL, b"stock"), tmp_path / "model")
    export(initial(SMALL, b"stock"), tmp_path / "new" / "model")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("miners.stock.save_file", full)
    with pytest.raises(OSError, match="no space left"):
        export(initial(SMALL, b"stock"), tmp_path / "other")
    assert theirs.read_text() == "work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.half", "new"]
    modes = {(tmp_path / name).stat().st_mode for name in ("model", "model.half", "new")}
    assert len(modes) == 1  # whoever may read what its owner makes may read the model


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_stock_transformers_computes_what_the_subnet_does(tmp_path: Path, config: ModelConfig) -> None:
    weights = initial(config, b"stock")
    export(weights, tmp_path)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 24)))
    with torch.inference_mode():
        ours = build(weights, torch.device("cpu")).eval()(input_ids=tokens).logits
        assert torch.equal(stock(input_ids=tokens).logits, ours)
        assert stock.generate(tokens, max_new_tokens=3).shape == (2, 27)
    assert GenerationConfig.from_pretrained(tmp_path).bos_token_id is None  # a byte begins like any other
    assert type(stock) is LlamaForCausalLM
    assert stock.config.num_key_value_heads == config.groups


def test_stock_tokenizers_read_bytes(tmp_path: Path) -> None:
    export(initial(SMALL, b"stock"), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "héllo  wörld\n\t中文 😀\x00"
    assert tokenizer(text)["input_ids"] == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text
    assert len(tokenizer) == 256


def test_what_somebody_else_trained_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5,
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).to(torch.bfloat16)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = read(tmp_path)
    assert (found.config.kv_heads, found.config.norm_eps_e9, found.config.vocabulary) == (2, 10_000, 320)
    copy = build(found, torch.device("cpu")).state_dict()
    for name, each in theirs.state_dict().items():
        torch.testing.assert_close(copy[name], each.float(), rtol=0, atol=0.5 / ONE)


def test_an_occupied_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(Occupied, match="is not an empty directory: choose another"):
        export(initial(SMALL, b"stock"), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def configured(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tensors(directory: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    found = load_file(directory / WEIGHTS_FILE)
    change(found)
    save_file(found, directory / WEIGHTS_FILE)


NORM = "model.norm.weight"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda d: (d / "config.json").unlink(), "cannot be read: No such file"),
    "no JSON": (lambda d: (d / "config.json").write_text("{"), "is not JSON"),
    "deep JSON": (lambda d: (d / "config.json").write_text("[" * 100_000), "is not JSON"),
    "a list": (lambda d: (d / "config.json").write_text("[]"), "holds no JSON object"),
    "another kind": (lambda d: configured(d, model_type="gpt2"), "model_type is 'gpt2'"),
    "infinite": (lambda d: configured(d, rope_theta=float("inf"), rope_parameters=None), "rope_theta is inf"),
    "biases": (lambda d: configured(d, mlp_bias=True), "mlp_bias is True"),
    "scaled positions": (
        lambda d: configured(d, rope_parameters={"rope_type": "llama3", "rope_theta": 1e4}),
        "rope_type is 'llama3' in config.json, only 'default' can be trained",
    ),
    "scaled positions by their old name": (
        lambda d: configured(d, rope_scaling={"type": "linear", "factor": 2}), "rope_type is 'linear' in"
    ),
    "positions of two kinds": (
        lambda d: configured(d, rope_scaling={"rope_type": "default", "type": "dynamic"}),
        "rope_type is 'dynamic' in config.json, only 'default' can be trained",
    ),
    "positions that are a word": (lambda d: configured(d, rope_scaling="yarn"), "rope_type is 'yarn'"),
    "two bases": (lambda d: configured(d, rope_theta=5e5), "rope_theta is 500000.0 and 10000.0, must be one"),
    "tied by a word": (
        lambda d: configured(d, tie_word_embeddings="true"),
        "config.json: tie_word_embeddings is 'true', must be true or false",
    ),
    "tied by a number": (lambda d: configured(d, tie_word_embeddings=1), "tie_word_embeddings is 1, must"),
    "no keys": (lambda d: configured(d, num_key_value_heads=0), "num_key_value_heads is 0, must be 1 or"),
    "a word for keys": (lambda d: configured(d, num_key_value_heads="2"), "num_key_value_heads is '2', must"),
    "no heads": (lambda d: configured(d, head_dim=0), "head_dim is 0 in config.json, only 8 can"),
    "a large epsilon": (
        lambda d: configured(d, rms_norm_eps=2),
        "config.json: rms_norm_eps is 2, must be a number above 0, at most 1",
    ),
    "no epsilon": (lambda d: configured(d, rms_norm_eps=0.0), "rms_norm_eps is 0.0, must be a number"),
    "a tiny epsilon": (lambda d: configured(d, rms_norm_eps=1e-12), "norm_eps_e9 is 0, must be 1 to"),
    "a word for epsilon": (lambda d: configured(d, rms_norm_eps=True), "rms_norm_eps is True, must be"),
    "wide heads": (lambda d: configured(d, head_dim=64), "head_dim is 64 in config.json, only 8 can"),
    "text for a number": (lambda d: configured(d, num_hidden_layers="1"), "layers is '1', must be a whole"),
    "nothing for a number": (lambda d: configured(d, hidden_size=None), "hidden is None"),
    "absurd": (lambda d: configured(d, num_hidden_layers=10**9), "layers is 1000000000, must be 1 to 1024"),
    "no weights": (lambda d: (d / WEIGHTS_FILE).unlink(), "cannot be read"),
    "no tensors": (lambda d: (d / WEIGHTS_FILE).write_bytes(b"\xff" * 64), "cannot be read"),
    "one missing": (lambda d: tensors(d, lambda t: t.pop(NORM)), f"has no tensor {NORM}"),
    "one too many": (
        lambda d: tensors(d, lambda t: t.update(more=torch.zeros(1))),
        "holds a tensor that this model has not: more",
    ),
    "another shape": (
        lambda d: tensors(d, lambda t: t.update({NORM: torch.zeros(3)})),
        r"model.norm.weight has shape \(3,\), its configuration says \(16,\)",
    ),
    "integers": (
        lambda d: tensors(d, lambda t: t.update({NORM: torch.zeros(16, dtype=torch.int32)})),
        r"is of torch.int32, must be of floating-point",
    ),
    "not a number": (
        lambda d: tensors(d, lambda t: t[NORM].fill_(float("nan"))), "norm.weight has a weight that is not"
    ),
    "too large": (lambda d: tensors(d, lambda t: t[NORM].fill_(-127)), "has a weight of 127 or more"),
    "changed since": (lambda d: tensors(d, lambda t: t[NORM].add_(1)), f"delete {REST_FILE} to import what"),
    "a file elsewhere": (
        lambda d: (d / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {NORM: "../model.safetensors"}})
        ),
        "names files outside of its directory",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "billionths"), [(1.0, 10**9), (1, 10**9), (0.5, 5 * 10**8), (1e-9, 1), (1e-5, 10_000)]
)
def test_what_norms_add_is_a_number_up_to_one(tmp_path: Path, written: float, billionths: int) -> None:
    export(initial(SMALL, b"stock"), tmp_path)
    (tmp_path / REST_FILE).unlink()
    configured(tmp_path, rms_norm_eps=written)
    assert read(tmp_path).config.norm_eps_e9 == billionths


@pytest.mark.parametrize("billionths", [1, 999, 10**6 + 1, 999_999_999, 10**9])
def test_what_norms_add_is_read_back_exactly(tmp_path: Path, billionths: int) -> None:
    sent = replace(SMALL, norm_eps_e9=billionths)
    export(initial(sent, b"stock"), tmp_path)
    assert read(tmp_path).config == sent


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_trained_is_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    export(initial(SMALL, b"stock"), tmp_path)
    spoil(tmp_path)
    with pytest.raises(RefusedWeights, match=message) as refusal:
        read(tmp_path)
    assert "\n" not in str(refusal.value)


async def test_an_import_says_what_to_do_with_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = initial(SMALL, b"seed")
    export(weights, tmp_path / "model")
    await import_model(Config(tmp_path / "model"))
    root = weights.root().hex()
    assert capsys.readouterr().out.splitlines() == [
        f"model 0x{root}, {len(weights.words):,} parameters",
        "hyperparameters that are not the default: "
        '{"hidden": 16, "layers": 1, "heads": 2, "feed_forward": 24, "sequence": 32}',
        f'in a chain specification: "training": {{"<netuid>": {{"model_root": "0x{root}"}}}}',
        f"on a running chain: assay model found --netuid <netuid> --key OWNER --model {tmp_path}/model",
    ]
