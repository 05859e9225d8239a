"""Secret URIs: the development keys everybody knows, and every refusal."""

import pytest
from substrateinterface import Keypair as Reference

from chain.keys import DEV_PHRASE, Keypair, SuriError

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
        ("//Alice//", "ed25519", NO_URI),
        ("/" * 2000, "ed25519", NO_URI),
    ],
)
def test_refusals_say_why_and_keep_the_secret(suri: str, kind: str, reason: str) -> None:
    with pytest.raises(SuriError) as refused:
        Keypair.from_suri(suri, kind)
    assert str(refused.value) == reason
