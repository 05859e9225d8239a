"""Chain specifications: JSON with Substrate's keys, human-readable or raw.

    spec = ChainSpec.load("local")          genesis/local.json, shipped with the package
    spec = ChainSpec.load("./my-chain.json")
`code` in a raw specification carries our runtime manifest, not Wasm.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from chain.checkpoints import Checkpoint, CheckpointError, Checkpoints
from chain.network.discovery.addresses import Address, AddressError, parse_address
from chain.rpc.backend import ChainType
from runtime.frame.errors import DispatchError
from runtime.genesis import genesis_state
from runtime.primitives.trie import MAX_KEY

PRESETS = ("dev", "local")
MAX_SIZE = 64 << 20
"""bytes of a specification file"""


CHAIN_TYPES = get_args(ChainType)
GENESIS_KINDS = ("raw", "runtimeGenesis")

RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: isinstance(value, str), "a text"),
    "id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[a-z0-9_-]{1,64}", value) is not None,
        "1 to 64 of a-z, 0-9, _ and -: it names a directory",
    ),
    "chainType": (lambda value: value in CHAIN_TYPES, f"one of {', '.join(CHAIN_TYPES)}"),
    "properties": (lambda value: isinstance(value, dict), "an object"),
    "genesis": (
        lambda value: isinstance(value, dict) and any(isinstance(value.get(k), dict) for k in GENESIS_KINDS),
        "an object with raw or runtimeGenesis",
    ),
}
"""What every specification must have."""

MALFORMED = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, DispatchError,
)  # fmt: skip
"""What the pallets say to a genesis section they cannot use."""


class SpecError(ValueError):
    """The specification cannot be used; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """What makes a chain this chain."""

    name: str
    id: str
    chain_type: ChainType
    properties: dict[str, int | str]
    genesis: dict[str, Any]
    source: dict[str, Any]

    @classmethod
    def load(cls, chain: str) -> "ChainSpec":
        """Read a preset by name, or a file by path.

        Raises: SpecError.
        """
        if chain in PRESETS:
            return cls.parse(files("genesis").joinpath(f"{chain}.json").read_text(), chain)
        path = Path(chain)
        try:
            if path.stat().st_size > MAX_SIZE:
                raise SpecError(f"{chain} is larger than {MAX_SIZE >> 20} MiB")
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as problem:
            presets = ", ".join(PRESETS)
            raise SpecError(
                f"cannot read chain {chain!r}: {problem}; give {presets} or a JSON file"
            ) from problem
        return cls.parse(text, chain)

    @classmethod
    def parse(cls, text: str, origin: str) -> "ChainSpec":
        """Read a specification's text.

        Raises: SpecError.
        """
        try:
            source = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise SpecError(f"{origin} is not JSON: {problem}") from problem
        if not isinstance(source, dict):
            raise SpecError(f"{origin} is no chain specification: it must be a JSON object")
        for key, (is_right, rule) in RULES.items():
            if not is_right(source.get(key)):
                raise SpecError(f"{origin} is no chain specification: {key} must be {rule}")
        return cls(
            source["name"],
            source["id"],
            source["chainType"],
            source["properties"],
            source["genesis"],
            source,
        )

    @property
    def is_test_chain(self) -> bool:
        """Whether keys need no password and guard records are made without silence."""
        return self.chain_type in ("Development", "Local")

    def boot_nodes(self) -> tuple[Address, ...]:
        """Return the nodes that newcomers connect to first.

        Raises: SpecError.
        """
        listed = self.source.get("bootNodes") or []
        try:
            return tuple(parse_address(text) for text in listed)
        except (AddressError, TypeError) as problem:
            raise SpecError(f"bootNodes of {self.id}: {problem}") from problem

    def trusted(self, checkpoint: Checkpoint | None = None) -> Checkpoints:
        """Return the blocks that every node of this chain trusts, and one more.

        Raises: SpecError.
        """
        listed = self.source.get("checkpoints") or []
        if not isinstance(listed, list):
            raise SpecError(f"checkpoints of {self.id} must be a list")
        try:
            own = () if checkpoint is None else (checkpoint,)
            return Checkpoints((*map(Checkpoint.from_json, listed), *own))
        except CheckpointError as problem:
            raise SpecError(f"checkpoints of {self.id}: {problem}") from problem

    @property
    def genesis_ms(self) -> int | None:
        """When the chain began, in ms since the Unix epoch, where its specification says so."""
        found = self.source.get("genesisTime")
        return found if isinstance(found, int) else None

    def home(self, base: Path) -> Path:
        """Return where a node keeps this chain's database, keys and guard: Substrate's place."""
        return base / "chains" / self.id

    def state(self) -> dict[bytes, bytes]:
        """Return the raw genesis state.

        Raises: SpecError.
        """
        try:
            if "raw" in self.genesis:
                top = self.genesis["raw"]["top"]
                state = {bytes.fromhex(key[2:]): bytes.fromhex(value[2:]) for key, value in top.items()}
            else:
                state = genesis_state(self.genesis["runtimeGenesis"]["config"], self.id)
        except MALFORMED as problem:
            raise SpecError(f"the genesis of {self.id} is malformed: {problem!r}") from problem
        longest = max(state, key=len, default=b"")
        if len(longest) > MAX_KEY:
            raise SpecError(
                f"the genesis of {self.id} has a key of {len(longest)} bytes, 0x{longest[:16].hex()}…: nodes "
                f"give each other states with keys of at most {MAX_KEY} bytes, so leave it out"
            )
        return state

    def raw(self) -> dict[str, Any]:
        """Return the specification with its genesis in raw form."""
        top = {"0x" + key.hex(): "0x" + value.hex() for key, value in sorted(self.state().items())}
        return {**self.source, "genesis": {"raw": {"top": top, "childrenDefault": {}}}}
