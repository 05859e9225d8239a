"""Positional parameters of one request: missing, null and surplus ones are fine, malformed ones are not."""

import re
from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Sequence

from chain.rpc.errors import BAD_FORMAT, Json, RpcError, invalid_params
from runtime.primitives.scale import DecodeError
from runtime.primitives.ss58 import Ss58Error, decode
from runtime.primitives.transaction import unframed
from runtime.primitives.types import AccountId, Hash

MAX_KEYS = 16_384
"""storage keys in one request"""
MAX_RESPONSE = 15 * 1024 * 1024
"""bytes of one response or batch of responses; Substrate's default"""
MAX_BLOCK_NUMBER = 2**32 - 1

_SHOWN = 80
_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,64}")


class Params:
    """The parameters of one request.

    Raises: RpcError from every method, saying which parameter is wrong and how.
    """

    def __init__(self, values: Sequence[Json], room: int = MAX_RESPONSE) -> None:
        """Take the values; `room` is how many bytes the answer may have."""
        self._values = values
        self.room = room

    def get(self, index: int) -> Json:
        """Return a parameter as it came; None when it is missing."""
        return self._values[index] if index < len(self._values) else None

    def text(self, index: int, name: str) -> str:
        """Return a parameter that must be a string."""
        value = self.get(index)
        if not isinstance(value, str):
            raise self._wrong(index, name, "must be a string")
        if any("\ud800" <= letter <= "\udfff" for letter in value):  # JSON allows them, UTF-8 does not
            raise self._wrong(index, name, "must be Unicode text, without lone surrogates")
        return value

    def count(self, index: int, name: str) -> int:
        """Return a parameter that must be an integer of 0 or more."""
        value = self.get(index)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(index, name, "must be an integer of 0 or more")
        return value

    def hex(self, index: int, name: str) -> bytes:
        """Return the bytes of a hex parameter; `0x` may be missing, the empty string is no bytes."""
        return self._bytes(self.get(index), index, name)

    def extrinsic(self, index: int) -> bytes:
        """Return the bytes of an extrinsic: a length, and that many bytes for a runtime to read."""
        found = self.hex(index, "extrinsic")
        try:
            unframed(found)
        except DecodeError as problem:
            raise RpcError(BAD_FORMAT, f"Extrinsic has invalid format: {problem}") from problem
        return found

    def optional_hex(self, index: int, name: str) -> bytes | None:
        """Return the bytes of a hex parameter, None when it is missing or null."""
        return None if self.get(index) is None else self.hex(index, name)

    def flag(self, index: int, name: str) -> bool:
        """Return a parameter that must be true or false."""
        value = self.get(index)
        if not isinstance(value, bool):
            raise self._wrong(index, name, "must be true or false")
        return value

    def hash(self, index: int, name: str) -> Hash:
        """Return a 32-byte hash."""
        found = self.optional_hash(index, name)
        if found is None:
            raise self._wrong(index, name, "must be a hex string")
        return found

    def hashes(self, index: int, name: str) -> list[Hash]:
        """Return one hash or a list of them, at most MAX_KEYS."""
        if not isinstance(self.get(index), list):
            return [self.hash(index, name)]
        found = self.keys(index, name)
        for raw in found:
            if len(raw) != 32:
                raise self._wrong(index, name, f"holds a hash of {len(raw)} bytes, not 32")
        return [Hash(raw) for raw in found]

    def optional_hash(self, index: int, name: str) -> Hash | None:
        """Return a 32-byte hash, None when it is missing or null."""
        raw = self.optional_hex(index, name)
        if raw is not None and len(raw) != 32:
            raise self._wrong(index, name, f"must have 32 bytes, not {len(raw)}")
        return None if raw is None else Hash(raw)

    def keys(self, index: int, name: str) -> list[bytes]:
        """Return a list of hex keys, at most MAX_KEYS."""
        value = self.get(index)
        if not isinstance(value, list):
            raise self._wrong(index, name, "must be an array of hex strings")
        if len(value) > MAX_KEYS:
            raise self._wrong(index, name, f"has {len(value)} keys, at most {MAX_KEYS} are allowed")
        return [self._bytes(each, index, name) for each in value]

    def account(self, index: int, name: str) -> AccountId:
        """Return the account of an SS58 address or of 32 bytes in hex."""
        text = self.text(index, name)
        if text.startswith("0x"):
            raw = self._bytes(text, index, name)
            if len(raw) != 32:
                raise self._wrong(index, name, f"must have 32 bytes, not {len(raw)}")
            return AccountId(raw)
        try:
            return decode(text)[1]
        except Ss58Error as problem:
            raise self._wrong(index, name, f"is no SS58 address: {problem}") from problem

    def _bytes(self, value: Json, index: int, name: str) -> bytes:
        if not isinstance(value, str):
            raise self._wrong(index, name, "must be a hex string")
        try:
            return unhexlify(value.removeprefix("0x"))
        except (HexError, ValueError) as problem:  # ValueError: not ASCII
            raise self._wrong(index, name, f"is not hex: {problem}") from problem

    def _wrong(self, index: int, name: str, rule: str) -> RpcError:
        shown = "missing" if index >= len(self._values) else shorten(self._values[index])
        return invalid_params(f"parameter {index + 1} ({name}) {rule}; it is {shown}")


def block_number(value: Json) -> int:
    """Return the block number of a JSON number or a `0x` hex string."""
    number: Json = value
    if isinstance(value, str) and _HEX_NUMBER.fullmatch(value):
        number = int(value, 16)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_BLOCK_NUMBER:
        raise invalid_params(f"block number {shorten(value)} is not between 0 and {MAX_BLOCK_NUMBER}")
    return number


def shorten(value: Json) -> str:
    """Return a JSON value as an error message shows it."""
    if isinstance(value, list | dict):
        return f"{'an array' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
