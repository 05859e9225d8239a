"""Types every room speaks. Names, paths and layouts are Substrate's, because clients look them up."""

from typing import Annotated, NewType

from runtime.primitives.shapes import (
    Compact,
    Fixed,
    LookupMarker,
    Variants,
    struct,
    u32,
    u64,
    u128,
    variant,
)

AccountId = NewType("AccountId", Annotated[bytes, Fixed(32, "sp_core::crypto::AccountId32")])
Hash = NewType("Hash", Annotated[bytes, Fixed(32, "primitive_types::H256")])
ED25519_PATH = "sp_core::ed25519::Public"
Ed25519Public = Annotated[bytes, Fixed(32, ED25519_PATH)]
Signature64 = Annotated[bytes, Fixed(64)]

Balance = u128
"""planck"""
BlockNumber = u32
"""blocks since genesis"""
Nonce = u32
Slot = u64
Moment = u64
"""milliseconds since the Unix epoch"""
Ppm = u32
"""parts per million"""
Lookup = Annotated[AccountId, LookupMarker]
"""An account, addressed through MultiAddress on the wire."""

ZERO_HASH = Hash(bytes(32))
MAX_WEIGHT = (1 << 64) - 1
"""ps, and bytes of proof"""


@struct("sp_weights::weight_v2::Weight")
class Weight:
    """What a call may use: picoseconds of reference hardware and bytes of proof."""

    ref_time: Compact[u64] = 0
    proof_size: Compact[u64] = 0

    def __add__(self, other: "Weight") -> "Weight":
        """Add, up to the largest weight there is: callers may claim any for the calls they carry."""
        ref_time, proof_size = self.ref_time + other.ref_time, self.proof_size + other.proof_size
        if ref_time > MAX_WEIGHT or proof_size > MAX_WEIGHT:
            return Weight(min(ref_time, MAX_WEIGHT), min(proof_size, MAX_WEIGHT))
        return Weight(ref_time, proof_size)


@variant
class Id:
    """The account itself."""

    _0: AccountId


@variant
class Index:
    """An account index; this chain has none."""

    _0: tuple[()]


@variant
class Raw:
    """Bytes some other chain might understand."""

    _0: bytes


@variant
class Address32:
    """A 32-byte address that need not be an account."""

    _0: Annotated[bytes, Fixed(32)]


@variant
class Address20:
    """A 20-byte address."""

    _0: Annotated[bytes, Fixed(20)]


MultiAddress = Annotated[
    Id | Index | Raw | Address32 | Address20,
    Variants(
        "sp_runtime::multiaddress::MultiAddress",
        params=(("AccountId", AccountId), ("AccountIndex", tuple[()])),
    ),
]


@struct("pallet_balances::types::AccountData")
class AccountData:
    """One account's balances."""

    free: Balance = 0
    reserved: Balance = 0
    frozen: Balance = 0
    flags: u128 = 1 << 127

    def with_free(self, free: Balance) -> "AccountData":
        """Return the same with another free balance; ledgers do this all day, and `replace` is slow."""
        return AccountData(free, self.reserved, self.frozen, self.flags)


@struct("frame_system::AccountInfo")
class AccountInfo:
    """Nonce, reference counts and balances of one account."""

    nonce: Nonce = 0
    consumers: u32 = 0
    providers: u32 = 0
    sufficients: u32 = 0
    data: AccountData = AccountData()

    def with_nonce(self, nonce: Nonce) -> "AccountInfo":
        """Return the same with another nonce."""
        return AccountInfo(nonce, self.consumers, self.providers, self.sufficients, self.data)

    def with_providers(self, providers: int) -> "AccountInfo":
        """Return the same with another number of providers."""
        return AccountInfo(self.nonce, self.consumers, providers, self.sufficients, self.data)

    def with_data(self, data: AccountData) -> "AccountInfo":
        """Return the same with other balances."""
        return AccountInfo(self.nonce, self.consumers, self.providers, self.sufficients, data)
