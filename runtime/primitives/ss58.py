"""SS58: the text form of an account. Source: Substrate's address format v1.

prefix (1 byte below 64, else 2) | account (32) | checksum (2), all of it in base 58
"""

from hashlib import blake2b

from runtime.primitives.types import AccountId

GENERIC_PREFIX = 42
"""Substrate's network-independent prefix."""
MAX_PREFIX = (1 << 14) - 1
RESERVED_PREFIXES = (46, 47)
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
MAX_TEXT = 50
"""characters; 36 bytes take at most 50 digits in base 58"""

_ACCOUNT, _CHECKSUM = 32, 2
_DIGITS = {letter: digit for digit, letter in enumerate(ALPHABET)}


class Ss58Error(ValueError):
    """The text is not an SS58 address; says why."""


def encode(account: bytes, prefix: int = GENERIC_PREFIX) -> str:
    """Return the address of a 32-byte account.

    Raises: Ss58Error.
    """
    if len(account) != _ACCOUNT:
        raise Ss58Error(f"an account has {_ACCOUNT} bytes, not {len(account)}")
    return encode_key(account, prefix)


def encode_key(public: bytes, prefix: int = GENERIC_PREFIX) -> str:
    """Return the text of a public key; only one of 32 bytes is the address of an account."""
    body = _prefix_bytes(prefix) + public
    return to_base58(body + _checksum(body))


def decode(text: str) -> tuple[int, AccountId]:
    """Return the prefix and the account of an address.

    Raises: Ss58Error.
    """
    if not 0 < len(text) <= MAX_TEXT:
        raise Ss58Error(f"an address has 1 to {MAX_TEXT} characters, not {len(text)}")
    raw = from_base58(text)
    size = 2 if raw and raw[0] & 0x40 else 1
    if len(raw) != size + _ACCOUNT + _CHECKSUM:
        raise Ss58Error(f"an address holds {size + _ACCOUNT + _CHECKSUM} bytes, not {len(raw)}")
    body, checksum = raw[:-_CHECKSUM], raw[-_CHECKSUM:]
    prefix = raw[0] if size == 1 else (raw[0] << 2 & 0xFC) | raw[1] >> 6 | (raw[1] & 0x3F) << 8
    if _prefix_bytes(prefix) != raw[:size]:
        raise Ss58Error(f"prefix {prefix} is not in its shortest form")
    if _checksum(body) != checksum:
        raise Ss58Error("the checksum is wrong; is a character mistyped?")
    return prefix, AccountId(body[size:])


def _prefix_bytes(prefix: int) -> bytes:
    if not 0 <= prefix <= MAX_PREFIX or prefix in RESERVED_PREFIXES:
        raise Ss58Error(f"{prefix} is no network prefix (0 to {MAX_PREFIX}, without 46 and 47)")
    if prefix < 64:
        return bytes([prefix])
    return bytes([prefix >> 2 & 0x3F | 0x40, prefix >> 8 | (prefix & 3) << 6])


def _checksum(body: bytes) -> bytes:
    return blake2b(b"SS58PRE" + body).digest()[:_CHECKSUM]


def to_base58(raw: bytes) -> str:
    """Return bytes in base 58, without any checksum."""
    number = int.from_bytes(raw, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return ALPHABET[0] * zeros + "".join(reversed(digits))


def from_base58(text: str) -> bytes:
    number = 0
    for position, letter in enumerate(text):
        digit = _DIGITS.get(letter)
        if digit is None:
            raise Ss58Error(f"{letter!r} at position {position} is no base58 character")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) >> 3, "big")


def account_of(text: str) -> AccountId:
    """Return the account a chain specification names: an SS58 address, or 0x and 64 hex digits."""
    return AccountId(bytes.fromhex(text[2:])) if text.startswith("0x") else decode(text)[1]


def accounts_of(texts: list[str], section: str) -> list[AccountId]:
    """Return the accounts a section of a chain specification names.

    Raises: ValueError where it names one twice, in whatever forms.
    """
    first: dict[AccountId, str] = {}
    for text in texts:
        account = account_of(text)
        if account in first:
            again = "" if text == first[account] else f", first as {first[account]}"
            raise ValueError(f"{section} lists {text} twice{again}: keep one entry")
        first[account] = text
    return list(first)
