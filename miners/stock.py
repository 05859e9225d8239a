"""A model as a directory that stock transformers reads, and back; nothing is lost on the way.

    export(weights, directory)              configurations, model.safetensors, tokenizer, assay.safetensors
    read(directory) -> MasterWeights        checked, and exactly what was exported

float32 holds 24 bits of a weight, the master 31. What float32 leaves over is in `assay.safetensors`, which
transformers never opens; a directory without it is one that somebody else made. An adapter is exported as the
model that it makes of the one below it, rounded, and alone for peft.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from miners.layout import ModelConfig, layout
from miners.model import BILLION, TIED, build, llama_config, state_of
from miners.weights import IMPORT_LIMIT, ONE, MasterWeights, RefusedWeights, Words

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CONFIG_FILE = "config.json"
REST_FILE = "assay.safetensors"
ROOT = "model_root"
"""Entry of the metadata of `REST_FILE`."""
UNFINISHED = ".assay-export-"
"""How names of directories begin that are being written."""
ROPE_SECTIONS = ("rope_parameters", "rope_scaling")
"""Where versions of transformers say what the rotary positions are; a file may have both."""
MOST_JSON = 1 << 24
"""bytes of a JSON file that are read"""
MOST_FILES = 4_096
"""A larger index is not read."""


class Occupied(ValueError):
    """The directory to write to holds something already."""


def export(weights: MasterWeights, directory: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a model; the directory appears when it is whole.

    Raises: Occupied, OSError.
    """
    ensure_free(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=directory.parent) as ours:
        half = Path(ours) / "model"
        half.mkdir()
        config = llama_config(weights.config)
        config.update({"architectures": ["LlamaForCausalLM"], "dtype": "float32", "use_cache": True})
        config.save_pretrained(half)
        GenerationConfig.from_model_config(config).save_pretrained(half)
        byte_tokenizer(weights.config).save_pretrained(half)
        if weights.config.lora_rank:
            _write_merged(weights, half)
        else:
            _write_exactly(weights, half, notes or {})
        if directory.exists():
            directory.rmdir()
        half.rename(directory)


def ensure_free(directory: Path) -> None:
    """Refuse to write over what somebody has.

    Raises: Occupied, OSError.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Occupied(f"{directory} is not an empty directory: choose another")


def _write_exactly(weights: MasterWeights, directory: Path, notes: Mapping[str, str]) -> None:
    floats, rests = {}, {}
    for tensor in layout(weights.config):
        words = weights.words[tensor.span]
        rounded = words.astype(np.float32)
        rest = words - rounded.astype(np.int64)
        floats[tensor.name] = (rounded * np.float32(1 / ONE)).reshape(tensor.shape)
        if rest.any():
            rests[tensor.name] = rest.astype(np.int8).reshape(tensor.shape)  # at most 64 in absolute value
    _write(floats, directory / WEIGHTS_FILE, {"format": "pt"})
    _write(rests, directory / REST_FILE, {ROOT: weights.root().hex(), **notes})


def _write_merged(weights: MasterWeights, directory: Path) -> None:
    """Write what an adapter makes of the model it belongs to, and the adapter alone beside it."""
    assert weights.base is not None, "whoever exports an adapter has its base"
    below = build(weights.base, torch.device("cpu"))
    found = (
        import_module("miners.adapter")
        .merged(below, weights.config, state_of(weights), directory)
        .state_dict()
    )
    kept = {tensor.name: found[tensor.name].numpy() for tensor in layout(weights.base.config)}
    _write(kept, directory / WEIGHTS_FILE, {"format": "pt"})


def _write(tensors: Mapping[str, NDArray[Any]], path: Path, metadata: dict[str, str]) -> None:
    """Write a file with the permissions of those beside it; safetensors makes it private."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, metadata=metadata)
    path.chmod(mode)


def byte_tokenizer(config: ModelConfig) -> PreTrainedTokenizerFast:
    """Return a stock tokenizer whose tokens are the bytes of UTF-8, each under its own number."""
    alphabet = {_letter(byte): byte for byte in range(256)}
    stock = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    stock.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    stock.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=stock, model_max_length=config.sequence, clean_up_tokenization_spaces=False
    )


def read(directory: Path) -> MasterWeights:
    """Return the model of a directory, whoever made it.

    Raises: RefusedWeights with what is wrong in one line.
    """
    config = read_config(directory)
    words = np.empty(sum(tensor.size for tensor in layout(config)), dtype=np.int32)
    with ExitStack() as opened:
        found = _Tensors(directory, opened)
        ignored = {name for name in found.names if name.endswith("rotary_emb.inv_freq")}
        unknown = found.names - {tensor.name for tensor in layout(config)} - ignored
        unknown -= set(TIED if config.tie_embeddings else ())
        if unknown:
            raise RefusedWeights(f"{directory} holds a tensor that this model has not: {min(unknown)}")
        for tensor in layout(config):
            words[tensor.span] = _words(found.floats(tensor.name, tensor.shape), tensor.name)
    claimed = _add_rest(directory, config, words)
    _check_range(config, words)
    weights = MasterWeights(config, words)
    root = weights.root().hex()
    if claimed not in (None, root):
        raise RefusedWeights(
            f"{directory} was exported as model 0x{str(claimed)[:8]}… and holds 0x{root[:8]}…: "
            f"delete {REST_FILE} to import what it holds now"
        )
    return weights


def read_config(directory: Path) -> ModelConfig:
    """Return the shape that a config.json names.

    Raises: RefusedWeights when it is no Llama of the kind that subnets train.
    """
    found = _json(directory / CONFIG_FILE)
    try:
        numbers = {
            "vocabulary": found.get("vocab_size"),
            "hidden": found.get("hidden_size"),
            "layers": found.get("num_hidden_layers"),
            "heads": found.get("num_attention_heads"),
            "feed_forward": found.get("intermediate_size"),
            "sequence": found.get("max_position_embeddings"),
            "kv_heads": _shared_heads(found),
            "rope_theta": _rope_theta(found),
            "tie_embeddings": _is_tied(found),
            "norm_eps_e9": _billionths(found.get("rms_norm_eps", 1e-6)),
        }
        config = ModelConfig(**{name: _whole(name, number) for name, number in numbers.items()})
    except ValueError as problem:
        raise RefusedWeights(f"{CONFIG_FILE}: {problem}") from problem
    _check_kind(found, config)
    return config


def _check_kind(found: Mapping[str, Any], config: ModelConfig) -> None:
    head = config.hidden // config.heads
    wanted: list[tuple[str, Any, Any]] = [
        ("model_type", found.get("model_type"), "llama"),
        ("hidden_act", found.get("hidden_act", "silu"), "silu"),
        ("attention_bias", found.get("attention_bias", False), False),
        ("mlp_bias", found.get("mlp_bias", False), False),
        ("head_dim", head if found.get("head_dim") is None else found["head_dim"], head),
        *(("rope_type", kind, "default") for kind in _rope_types(found)),
    ]
    for name, value, only in wanted:
        if value != only:
            raise RefusedWeights(f"{name} is {value!r} in {CONFIG_FILE}, only {only!r} can be trained")


class _Tensors:
    """The tensors of a directory, wherever an index says that they lie."""

    def __init__(self, directory: Path, opened: ExitStack) -> None:
        self._directory = directory
        files = _files(directory)
        self._open = {file: opened.enter_context(_opened(directory / file)) for file in set(files.values())}
        if not files:
            only = opened.enter_context(_opened(directory / WEIGHTS_FILE))
            self._open, files = {WEIGHTS_FILE: only}, dict.fromkeys(only.keys(), WEIGHTS_FILE)
        self._files = files
        self.names = set(files)

    def floats(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return a tensor as float64.

        Raises: RefusedWeights.
        """
        if name not in self._files:
            raise RefusedWeights(f"{self._directory} has no tensor {name}")
        try:
            found = self._open[self._files[name]].get_tensor(name)
        except SafetensorError as problem:
            raise RefusedWeights(f"{self._files[name]} cannot be read: {problem}") from problem
        if tuple(found.shape) != shape:
            raise RefusedWeights(f"{name} has shape {tuple(found.shape)}, its configuration says {shape}")
        if not found.is_floating_point():
            raise RefusedWeights(f"{name} is of {found.dtype}, must be of floating-point numbers")
        exact: NDArray[np.float64] = found.double().numpy().reshape(-1)
        return exact


def _words(exact: NDArray[np.float64], name: str) -> Words:
    if not np.isfinite(exact).all():
        raise RefusedWeights(f"{name} has a weight that is not a finite number")
    if np.any(np.abs(exact) >= IMPORT_LIMIT):
        raise RefusedWeights(f"{name} has a weight of {IMPORT_LIMIT} or more in absolute value")
    return np.rint(exact * ONE).astype(np.int32)


def _add_rest(directory: Path, config: ModelConfig, words: Words) -> str | None:
    """Add what float32 left over, where we exported the directory; return the root that it then had."""
    path = directory / REST_FILE
    if not path.exists():
        return None
    with _opened(path, "numpy") as found:
        names, notes = set(found.keys()), found.metadata() or {}
        for tensor in layout(config):
            if tensor.name in names:
                rest = found.get_tensor(tensor.name)
                if rest.dtype != np.int8 or rest.shape != tensor.shape:
                    raise RefusedWeights(f"{REST_FILE} does not fit {tensor.name}: delete it")
                words[tensor.span] += rest.reshape(-1)
    return str(notes.get(ROOT, ""))


def _check_range(config: ModelConfig, words: Words) -> None:
    limit = IMPORT_LIMIT * ONE
    if np.any((words >= limit) | (words <= -limit)):
        raise RefusedWeights(f"the model has a weight of {IMPORT_LIMIT} or more in absolute value")


def _opened(path: Path, framework: str = "pt") -> Any:
    """Open a file of tensors; none is read before it is asked for.

    Raises: RefusedWeights.
    """
    try:
        return safe_open(path, framework=framework)
    except (OSError, SafetensorError) as problem:
        raise RefusedWeights(f"{path} cannot be read: {problem}") from problem


def _files(directory: Path) -> dict[str, str]:
    """Return which file holds which tensor, where an index says so; none without one."""
    if not (directory / INDEX_FILE).exists():
        return {}
    listed = _section(_json(directory / INDEX_FILE), "weight_map")
    files = {str(name): str(file) for name, file in listed.items()}
    if any(Path(file).name != file for file in files.values()) or len(set(files.values())) > MOST_FILES:
        raise RefusedWeights(f"{INDEX_FILE} names files outside of its directory, or too many")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_JSON))
    except OSError as problem:
        raise RefusedWeights(f"{path} cannot be read: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise RefusedWeights(f"{path} is not JSON: {problem}") from problem
    if not isinstance(found, dict):
        raise RefusedWeights(f"{path} holds no JSON object")
    return found


def _section(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = found.get(name)
    return section if isinstance(section, dict) else {}


def _rope_types(found: Mapping[str, Any]) -> list[Any]:
    """Return every kind of rotary positions that is named, by the names of any version of transformers."""
    kinds = []
    for name in ROPE_SECTIONS:
        section = found.get(name) or {}
        named = [section.get("rope_type"), section.get("type")] if isinstance(section, dict) else [section]
        kinds += [kind for kind in named if kind is not None]
    return kinds


def _rope_theta(found: Mapping[str, Any]) -> Any:
    """Return the base of the rotary positions.

    Raises: ValueError when it has two values.
    """
    sections = (found, *(_section(found, name) for name in ROPE_SECTIONS))
    named = [section["rope_theta"] for section in sections if "rope_theta" in section]
    for other in named[1:]:
        if other != named[0]:
            raise ValueError(f"rope_theta is {named[0]!r} and {other!r}, must be one of them")
    return named[0] if named else 10_000


def _shared_heads(found: Mapping[str, Any]) -> int:
    """Return how many heads have keys and values, 0 for as many as there are heads.

    Raises: ValueError.
    """
    heads, shared = found.get("num_attention_heads"), found.get("num_key_value_heads")
    if shared is None:
        return 0
    number = _whole("num_key_value_heads", shared)
    if number < 1:
        raise ValueError(f"num_key_value_heads is {shared!r}, must be 1 or more")
    return 0 if number == heads else number


def _is_tied(found: Mapping[str, Any]) -> int:
    """Return 1 where the output layer is the input embedding.

    Raises: ValueError.
    """
    is_tied = found.get("tie_word_embeddings", False)
    if not isinstance(is_tied, bool):
        raise ValueError(f"tie_word_embeddings is {is_tied!r}, must be true or false")
    return int(is_tied)


def _billionths(epsilon: Any) -> int:
    """Return what norms add under their root, in 10^-9.

    Raises: ValueError.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon <= 1:
        raise ValueError(f"rms_norm_eps is {epsilon!r}, must be a number above 0, at most 1")
    return round(epsilon * BILLION)


def _whole(name: str, number: Any) -> int:
    """Return a number that must be a whole one; 10000.0 is.

    Raises: ValueError.
    """
    if isinstance(number, bool) or not isinstance(number, int | float) or number % 1 != 0:
        raise ValueError(f"{name} is {number!r}, must be a whole number")
    return int(number)


def _letter(byte: int) -> str:
    """Return the printable character that byte-level tokenizers write for a byte (GPT-2's table)."""
    return _LETTERS[byte]


def _letters() -> Iterator[str]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = 0x100
    for byte in range(256):
        if byte in printable:
            yield chr(byte)
        else:
            yield chr(spare)
            spare += 1


_LETTERS = tuple(_letters())
