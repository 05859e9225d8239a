"""Secret URIs: the development keys everybody knows, and every refusal."""

import pytest
from substrateinterface import Keypair as Reference

from chain.keys.pair import DEV_PHRASE, Keypair, SuriError, plain_seed, with_password
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256

BAD_PHRASE = "the phrase is not 12 to 24 English BIP-39 words with a valid checksum"
NO_URI = "a secret URI is a phrase or a 0x seed, then //hard or /soft junctions, then ///password"
DEV_KEYS = {
    ("sr25519", "//Alice"): "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
    ("sr25519", "//Bob"): "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
    ("sr25519", "//Charlie"): "90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22",
    ("sr25519", "//Dave"): "306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20",
    ("sr25519", "//Eve"): "e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e",
    ("sr25519", "//Ferdie"): "1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c",
    ("ed25519", "//Alice"): "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee",
    ("ed25519", "//Bob"): "d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69",
}


@pytest.mark.parametrize(("kind", "suri"), DEV_KEYS)
def test_development_keys(kind: str, suri: str) -> None:
    assert Keypair.from_suri(suri, kind).public.hex() == DEV_KEYS[kind, suri]
    assert Keypair.from_suri(DEV_PHRASE + suri, kind).public.hex() == DEV_KEYS[kind, suri]


@pytest.mark.parametrize(
    "suri",
    ["//Miner1", "//Miner2//stash", "/soft", "//hard/soft//0/1", "//007", "//" + "x" * 60, "//é", DEV_PHRASE],
)
def test_sr25519_equals_substrate_interface(suri: str) -> None:
    assert Keypair.from_suri(suri, "sr25519").public == Reference.create_from_uri(suri).public_key


def test_ecdsa_development_keys_are_those_of_subkey() -> None:
    alice = Keypair.from_suri("//Alice", "ecdsa")
    assert alice.public.hex() == "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"
    assert alice.account.hex() == "01e552298e47454041ea31273b4b630c64c104e4514aa3643490b8aaca9cf8ed"
    assert ss58.encode(alice.account) == "5C7C2Z5sWbytvHpuLTvzKunnnRwQxft1jiqrLD5rhucQ5S9X"


def test_ecdsa_hard_junctions_hash_the_seed() -> None:
    seed = bytes(range(32))
    child = blake2_256(b"\x34Secp256k1HDKD" + seed + b"\x0cone".ljust(32, b"\0"))
    assert Keypair.from_suri("0x" + seed.hex() + "//one", "ecdsa") == Keypair.from_seed(child, "ecdsa")


def test_an_expanded_secret_is_a_root_of_sr25519() -> None:
    alice = Keypair.from_suri("//Alice", "sr25519")
    root = "0x" + alice.secret.hex()
    assert Keypair.from_suri(root, "sr25519") == alice
    assert Keypair.from_suri(root + "//soft", "sr25519") == Keypair.from_suri("//Alice//soft", "sr25519")
    with pytest.raises(SuriError, match="64 hexadecimal digits"):
        Keypair.from_suri(root, "ed25519")
    with pytest.raises(SuriError, match="no expanded sr25519 key"):
        Keypair.from_suri("0x" + "ff" * 64, "sr25519")


@pytest.mark.parametrize(
    ("suri", "seed"),
    [
        (DEV_PHRASE, "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e"),
        ("0x" + "07" * 32, "07" * 32),
        ("//Alice", None),
        ("0x" + "07" * 64, None),
    ],
)
def test_only_a_uri_without_junctions_shows_its_seed(suri: str, seed: str | None) -> None:
    assert plain_seed(suri) == (None if seed is None else bytes.fromhex(seed))


def test_a_password_is_added_once_and_to_a_phrase_only() -> None:
    assert Keypair.from_suri(with_password("//Alice", "pw"), "sr25519") == Keypair.from_suri(
        "//Alice///pw", "sr25519"
    )
    for taken in ("//Alice///old", "0x" + "07" * 32):
        with pytest.raises(SuriError, match="password"):
            with_password(taken, "pw")


def test_a_seed_is_a_root() -> None:
    seed = bytes(range(32))
    expected = Reference.create_from_seed(seed.hex()).public_key
    assert Keypair.from_suri("0x" + seed.hex(), "sr25519").public == expected
    assert Keypair.from_seed(seed, "sr25519").public == expected


def test_a_password_changes_every_key() -> None:
    assert Keypair.from_suri("//Alice///pass/word", "sr25519") != Keypair.from_suri("//Alice", "sr25519")
    assert Keypair.from_suri("///pw", "ed25519") != Keypair.from_suri("///wp", "ed25519")


def test_a_number_and_its_text_are_different_junctions() -> None:
    keys = {
        Keypair.from_suri(suri, "ed25519").public for suri in ("//1", "//one", f"//{2**64}", f"//{2**64 - 1}")
    }
    assert len(keys) == 4


def test_a_secret_never_shows() -> None:
    pair = Keypair.from_suri("//Alice", "ed25519")
    assert pair.secret.hex() not in repr(pair)
    assert "secret" not in repr(pair)


@pytest.mark.parametrize(
    ("suri", "kind", "reason"),
    [
        ("0x1234", "sr25519", "a seed is 0x and 64 hexadecimal digits"),
        ("0x" + "00" * 32 + "///pw", "sr25519", "a password goes with a phrase, not with a seed"),
        ("bottom drive", "sr25519", BAD_PHRASE),
        (
            DEV_PHRASE + "s",
            "ed25519",
            "the phrase is not 12 to 24 English BIP-39 words with a valid checksum",
        ),
        ("//Alice/soft", "ed25519", "ed25519 keys have no soft (/) junctions; use //"),
        ("//Alice/soft", "ecdsa", "ecdsa keys have no soft (/) junctions; use //"),
        ("0x" + "00" * 32, "ecdsa", "the seed is no secp256k1 secret: zero, or not below the order"),
        ("0x" + "ff" * 32, "ecdsa", "the seed is no secp256k1 secret: zero, or not below the order"),
        ("//Alice//", "ed25519", NO_URI),
        ("/" * 2000, "ed25519", NO_URI),
    ],
)
def test_refusals_say_why_and_keep_the_secret(suri: str, kind: str, reason: str) -> None:
    with pytest.raises(SuriError) as refused:
        Keypair.from_suri(suri, kind)
    assert str(refused.value) == reason


def test_an_empty_secret_uri_is_not_the_development_phrase() -> None:
    for kind in ("sr25519", "ed25519", "ecdsa"):
        with pytest.raises(SuriError, match="an empty secret URI names no key"):
            Keypair.from_suri("", kind)  # type: ignore[arg-type]
