"""Adapters: what a fine-tuning subnet trains are LoRA matrices, and peft computes with them.

Loaded only where a subnet has a `lora_rank`; nobody else waits for peft. Source: LoRA (arXiv 2106.09685).
"""

from collections.abc import Mapping
from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from torch import Tensor
from transformers import LlamaForCausalLM

from miners.layout import ModelConfig

PARTS = ["q_proj", "v_proj"]
"""The projections that are adapted, as in the paper."""
SCALE = 2
"""Factor on an adapter's product, peft's `lora_alpha / r`: part of what the integers of a subnet mean."""
ADAPTER = "adapter"
"""Where an export has the adapter alone."""


State = Mapping[str, Tensor]
"""An adapter's float32 tensors by name."""


def adapted(model: LlamaForCausalLM, config: ModelConfig, state: State) -> PeftModel:
    """Return a model with an adapter, of which the adapter alone can be trained."""
    made = get_peft_model(model, _config(config))
    outcome = set_peft_model_state_dict(made, {name: each.to(model.device) for name, each in state.items()})
    assert not outcome.unexpected_keys, f"the layout names {outcome.unexpected_keys}"
    return made


def merged(model: LlamaForCausalLM, config: ModelConfig, state: State, directory: Path) -> LlamaForCausalLM:
    """Return the model that an adapter makes of another one; the adapter alone is written for peft."""
    made = adapted(model, config, state)
    made.save_pretrained(directory / ADAPTER)
    return made.merge_and_unload()


def _config(config: ModelConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=SCALE * config.lora_rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=list(PARTS),
        task_type="CAUSAL_LM",
    )
