"""ECVRF: the RFC's examples, an independent slow implementation, and every way to be wrong."""

from hashlib import sha512

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.vrf import PROOF_SIZE, proof_to_hash, prove, verify

# RFC 9381, appendix B.3, examples 16 to 18: secret key, public key, alpha, pi, beta.
EXAMPLES = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
        "26f8a57ccaed74ee1b190bed1f479d97"
        "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
        "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
        "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
        "3bf0864a62558b3ed7f2fea45c92a465"
        "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
        "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
        "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
        "96bb474e53895c362d8628ee9f9ea3c0"
        "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
        "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
        "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    ),
]

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def pack(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def unpack(raw: bytes) -> Point | None:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


BASE = unpack(bytes([0x58]) + bytes([0x66]) * 31)
assert BASE is not None


def digest(*parts: bytes) -> bytes:
    return sha512(b"\x03" + b"".join(parts) + b"\x00").digest()


def slow_encode(public: bytes, alpha: bytes) -> Point:
    for counter in range(256):
        point = unpack(digest(b"\x01", public, alpha, bytes([counter]))[:32])
        if point is not None and times(8, point) != (0, 1):
            return times(8, point)
    raise AssertionError


def slow_prove(seed: bytes, alpha: bytes) -> tuple[bytes, bytes, bytes]:
    """Return public key, pi and beta by the text of RFC 9381, section 5, over plain integers."""
    expanded = sha512(seed).digest()
    x = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public = pack(times(x, BASE))
    h = slow_encode(public, alpha)
    gamma = times(x, h)
    k = int.from_bytes(sha512(expanded[32:] + pack(h)).digest(), "little") % Q
    points = (public, pack(h), pack(gamma), pack(times(k, BASE)), pack(times(k, h)))
    c = digest(b"\x02", *points)[:16]
    s = (k + int.from_bytes(c, "little") * x) % Q
    beta = digest(b"\x03", pack(times(8, gamma)))
    return public, pack(gamma) + c + s.to_bytes(32, "little"), beta


@pytest.mark.parametrize("example", EXAMPLES)
def test_rfc_9381_examples(example: tuple[str, ...]) -> None:
    seed, public, alpha, pi, beta = (bytes.fromhex(part) for part in example)
    assert prove(seed, alpha) == pi
    assert verify(public, alpha, pi) == beta
    assert proof_to_hash(pi) == beta
    assert slow_prove(seed, alpha) == (public, pi, beta)


@settings(max_examples=8)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_equals_plain_integers(seed: bytes, alpha: bytes) -> None:
    public, pi, beta = slow_prove(seed, alpha)
    assert prove(seed, alpha) == pi
    assert verify(public, alpha, pi) == beta


@pytest.mark.parametrize("position", range(PROOF_SIZE))
def test_a_flipped_bit_anywhere_in_the_proof_is_refused(position: int) -> None:
    _, public, alpha, pi, _ = (bytes.fromhex(part) for part in EXAMPLES[1])
    for bit in (0, 3, 7):
        wrong = bytearray(pi)
        wrong[position] ^= 1 << bit
        assert verify(public, alpha, bytes(wrong)) is None


def test_another_input_or_key_is_refused() -> None:
    _, public, alpha, pi, _ = (bytes.fromhex(part) for part in EXAMPLES[1])
    assert verify(public, alpha + b"\0", pi) is None
    assert verify(bytes.fromhex(EXAMPLES[0][1]), alpha, pi) is None


@given(st.binary(max_size=40), st.binary(max_size=90))
def test_arbitrary_bytes_are_refused_without_raising(public: bytes, proof: bytes) -> None:
    assert verify(public, b"alpha", proof) is None
    assert verify(bytes.fromhex(EXAMPLES[0][1]), b"", proof) is None


def test_the_same_scalar_written_larger_is_refused() -> None:
    _, public, alpha, pi, _ = (bytes.fromhex(part) for part in EXAMPLES[2])
    larger = int.from_bytes(pi[48:], "little") + Q
    assert verify(public, alpha, pi[:48] + larger.to_bytes(32, "little")) is None


@pytest.mark.parametrize("height", [P, P + 1, P + 18, 1, P - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_unreduced_and_small_order_points_are_refused(height: int, sign: int) -> None:
    """All y >= p, and y = 1, -1 (orders 1 and 2, which with the sign bit are no point at all)."""
    _, public, alpha, pi, _ = (bytes.fromhex(part) for part in EXAMPLES[0])
    point = (height | sign << 255).to_bytes(32, "little")
    assert verify(point, alpha, pi) is None
    assert verify(public, alpha, point + pi[32:]) is None
    with pytest.raises(ValueError, match="the bytes are no VRF proof"):
        proof_to_hash(point + pi[32:])


def test_a_second_proof_with_a_small_order_part_is_refused() -> None:
    """A cheat adds a point of order 2 to Gamma and draws nonces until c is even: the RFC's equations hold."""
    seed, public, alpha, _, beta = (bytes.fromhex(part) for part in EXAMPLES[0])
    x = int.from_bytes(sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
    h = slow_encode(public, alpha)
    gamma = add(times(x, h), (0, P - 1))
    for k in range(1, 100):
        commitments = pack(times(k, BASE)), pack(times(k, h))
        challenge = digest(b"\x02", public, pack(h), pack(gamma), *commitments)[:16]
        c = int.from_bytes(challenge, "little")
        if c % 2 == 0:
            break
    s = (k + c * x) % Q
    assert add(times(s, h), times(Q * 8 - c, gamma)) == times(k, h)
    assert digest(b"\x03", pack(times(8, gamma))) == beta
    assert verify(public, alpha, pack(gamma) + challenge + s.to_bytes(32, "little")) is None


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"a VRF seed has 32 bytes, not {size}"):
        prove(bytes(size), b"")


@pytest.mark.parametrize("size", [0, 79, 81])
def test_a_proof_has_80_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="the bytes are no VRF proof"):
        proof_to_hash(bytes(size))
