"""`assay key`: what subkey prints, what a keystore gets, what an export of polkadot.js holds."""

import io
import json
from importlib.resources import files
from pathlib import Path

import pytest

from chain.cli import main
from chain.commands import password as passwords
from chain.commands.secret import WARNING
from chain.consensus.guard import Guard
from chain.consensus.guard_records import SlotRecord
from chain.env_real import RealDisk
from chain.keys.keystore import BABE_KEY, Keystore
from chain.keys.pair import DEV_PHRASE, Keypair, new_phrase
from tests.chain.exports import export

ALICE = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
ALICE_ADDRESS = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
USAGE = 2


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """Run the command and return what it prints as JSON."""
    assert main(["key", *arguments, "--json"]) == 0
    printed: dict[str, str] = json.loads(capsys.readouterr().out)
    return printed


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = USAGE) -> str:
    """Run the command, which must fail, as a usage error by default; return its line."""
    assert main(["key", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.removeprefix("assay: ").removesuffix("\n")


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("pass word\n")
    return str(path)


def test_a_uri_is_shown_as_subkey_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "inspect", "//Alice") == {
        "secretKeyUri": "//Alice",
        "secretSeed": "n/a",
        "networkId": "substrate",
        "publicKey": ALICE,
        "accountId": ALICE,
        "ss58PublicKey": ALICE_ADDRESS,
        "ss58Address": ALICE_ADDRESS,
    }


def test_a_phrase_is_laid_out_as_subkey_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "inspect", DEV_PHRASE]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Secret phrase:       {DEV_PHRASE}",
        "  Network ID:        substrate",
        "  Secret seed:       0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e",
        "  Public key (hex):  0x46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a",
        "  Account ID:        0x46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a",
        "  Public key (SS58): 5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV",
        "  SS58 Address:      5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV",
    ]


def test_an_ecdsa_key_is_not_its_account(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "inspect", "//Alice", "--scheme", "ecdsa")
    assert found["publicKey"] == "0x020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"
    assert found["ss58PublicKey"] == "KW39r9CJjAVzmkf9zQ4YDb2hqfAVGdRqn53eRqyruqpxAP5YL"
    assert found["accountId"] == "0x01e552298e47454041ea31273b4b630c64c104e4514aa3643490b8aaca9cf8ed"
    assert found["ss58Address"] == "5C7C2Z5sWbytvHpuLTvzKunnnRwQxft1jiqrLD5rhucQ5S9X"


def test_an_address_shows_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "inspect", ALICE_ADDRESS]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"Public Key URI `{ALICE_ADDRESS}` is account:\n")
    assert f"  Account ID:        {ALICE}\n" in printed
    assert "Secret" not in printed


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519", "ecdsa"])
def test_a_generated_phrase_is_the_key(capsys: pytest.CaptureFixture[str], scheme: str) -> None:
    made, other = (shown(capsys, "generate", "--scheme", scheme) for _ in range(2))
    assert made["secretPhrase"] != other["secretPhrase"]
    assert len(made["secretPhrase"].split()) == 12
    assert shown(capsys, "inspect", made["secretPhrase"], "--scheme", scheme) == made
    again = shown(capsys, "inspect", made["secretSeed"], "--scheme", scheme)
    assert again["ss58Address"] == made["ss58Address"]


def test_a_password_is_part_of_the_secret(capsys: pytest.CaptureFixture[str], secret_file: str) -> None:
    made = shown(capsys, "generate", "--password-filename", secret_file)
    assert "pass word" not in json.dumps(made)
    bare = shown(capsys, "inspect", made["secretPhrase"])
    whole = shown(capsys, "inspect", made["secretPhrase"], "--password-filename", secret_file)
    assert whole == made
    assert bare["publicKey"] != made["publicKey"]


def test_a_password_may_be_typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed")
    found = shown(capsys, "inspect", "//Alice", "--password-interactive")
    assert found["publicKey"] == "0x" + Keypair.from_suri("//Alice///typed", "sr25519").public.hex()


def insert(tmp_path: Path) -> list[str]:
    """Return a command line that lacks the secret."""
    return ["insert", "--key-type", "babe", "--chain", "dev", "-d", str(tmp_path / "base")]


@pytest.fixture
def phrase() -> str:
    return new_phrase()


def test_a_secret_that_is_left_out_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phrase: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or phrase)
    found = shown(capsys, *insert(tmp_path))
    assert found["publicKey"] == "0x" + Keypair.from_suri(phrase, "ed25519").public.hex()
    assert shown(capsys, "inspect")["secretPhrase"] == phrase
    assert asked == ["Secret URI: "] * 2


def test_a_secret_may_be_piped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phrase: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{phrase}\nand more\n"))
    found = shown(capsys, *insert(tmp_path))
    assert found["publicKey"] == "0x" + Keypair.from_suri(phrase, "ed25519").public.hex()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert refused(capsys, "inspect") == "an empty secret URI names no key"


def test_nothing_typed_is_no_secret_and_no_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", ended)
    assert refused(capsys, "inspect") == "an empty secret URI names no key"
    line = "a password has 1 to 4096 characters"
    assert refused(capsys, "generate", "--password-interactive") == line


@pytest.mark.parametrize("as_json", [False, True])
def test_a_secret_may_lie_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, secret_file: str, as_json: bool
) -> None:
    path, password = tmp_path / "secret", ("--password-filename", secret_file)
    made = shown(capsys, "generate", "--scheme", "ed25519", *password)
    path.write_text(json.dumps(made) if as_json else f"{made['secretPhrase']} \nanything else\n")
    assert shown(capsys, *insert(tmp_path), "--suri", str(path), *password)["publicKey"] == made["publicKey"]
    assert shown(capsys, "inspect", str(path), "--scheme", "ed25519", *password) == made


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "{} must begin with a secret URI of 1 to 1024 characters"),
        (b"\xff", "cannot read the secret's file: 'utf-8' codec can't decode"),
        (b"x" * 1025, "{} must begin with a secret URI of 1 to 1024 characters"),
        (b"{", "{} is cut off: give what `assay key generate --json` has printed"),
        (b'{"encoded": "x"}', "{} is an export of polkadot.js: give its password with "),
        (b'{"phrase": "x"}', "{} has no secretPhrase: give what `assay key generate --json` has printed"),
        (b'{"secretPhrase": 1}', "{} has no secretPhrase: give what `assay key generate --json` has printed"),
    ],
)
def test_a_file_that_holds_no_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, line: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert refused(capsys, "inspect", str(path)).startswith(line.format(path))


def test_a_secret_on_the_command_line_is_loud_unless_everybody_knows_it(
    capsys: pytest.CaptureFixture[str], phrase: str
) -> None:
    for uri in (phrase, f"{phrase}//stash", "0x" + "07" * 32, "//Alice///password"):
        assert main(["key", "inspect", uri]) == 0
        assert capsys.readouterr().err == WARNING + "\n"
    for uri in ("//Alice", DEV_PHRASE, DEV_PHRASE + "//Alice", ALICE_ADDRESS):
        assert main(["key", "inspect", uri]) == 0
        assert capsys.readouterr().err == ""


def live_chain(tmp_path: Path) -> str:
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    spec["id"], spec["chainType"] = "live_one", "Live"
    path = tmp_path / "live.json"
    path.write_text(json.dumps(spec))
    return str(path)


def test_a_key_goes_into_the_nodes_keystore(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = shown(
        capsys, "insert", "--key-type", "babe", "--suri", "//Alice", "--chain", "dev", "-d", str(tmp_path)
    )
    kept = Keystore(RealDisk(tmp_path / "chains" / "dev" / "keystore"))
    public = Keypair.from_suri("//Alice", "ed25519").public
    assert kept.public_keys(BABE_KEY) == [public]
    assert found["publicKey"] == "0x" + public.hex()
    assert "secretKeyUri" not in found


def test_a_key_s_guard_record_is_born_with_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ("--key-type", "babe", "--suri", "//Alice", "--chain", "dev", "-d", str(tmp_path))
    shown(capsys, "insert", *flags)
    guard = Guard.open(RealDisk(tmp_path / "chains" / "dev" / "guard"))
    assert guard.last_slot(Keypair.from_suri("//Alice", "ed25519").public) == SlotRecord()
    line = refused(capsys, "insert", *flags, code=1)
    assert "is another node running with the same keys?" in line
    assert line.endswith("a node that runs takes keys by author_insertKey")
    guard.close()


def test_a_keystore_may_lie_elsewhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ("--key-type", "babe", "--suri", "//Alice", "--chain", "dev", "-d", str(tmp_path / "base"))
    shown(capsys, "insert", *flags, "--keystore-path", str(tmp_path / "keys"))
    assert len(Keystore(RealDisk(tmp_path / "keys")).public_keys(BABE_KEY)) == 1
    assert not (tmp_path / "base" / "chains" / "dev" / "keystore").exists()


def test_a_node_key_is_made_and_inspected(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "node-key"
    assert main(["key", "generate-node-key", "--file", str(path)]) == 0
    made = capsys.readouterr()
    assert main(["key", "inspect-node-key", "--file", str(path)]) == 0
    assert (made.out, made.err) == ("", capsys.readouterr().out)
    assert made.err.startswith("12D3KooW")
    assert path.stat().st_mode & 0o777 == 0o600
    assert refused(capsys, "generate-node-key", "--file", str(path)).startswith(f"{path} exists already")
    assert main(["key", "generate-node-key"]) == 0
    printed = capsys.readouterr()
    path.write_text(printed.out)
    assert main(["key", "inspect-node-key", "--file", str(path)]) == 0
    assert capsys.readouterr().out == printed.err


def test_off_development_chains_a_key_wants_a_password(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, secret_file: str
) -> None:
    flags = ["insert", "--key-type", "gran", "--suri", DEV_PHRASE, "--chain", live_chain(tmp_path)]
    flags += ["--base-path", str(tmp_path)]
    assert refused(capsys, *flags) == (
        "keys for live_one (Live) want a password: give --password-interactive or --password-filename"
    )
    assert not (tmp_path / "chains").exists()
    found = shown(capsys, *flags, "--password-filename", secret_file)
    (file,) = (tmp_path / "chains" / "live_one" / "keystore").iterdir()
    assert file.read_text() == json.dumps(DEV_PHRASE)
    expected = Keypair.from_suri(DEV_PHRASE + "///pass word", "ed25519").public
    assert found["publicKey"] == "0x" + expected.hex()


def test_an_imported_key_is_the_exported_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, secret_file: str
) -> None:
    alice = Keypair.from_suri("//Alice", "sr25519")
    path = tmp_path / "alice.json"
    path.write_text(export(alice, "pass word"))
    found = shown(capsys, "import", str(path), "--password-filename", secret_file)
    assert (found["scheme"], found["ss58Address"]) == ("sr25519", ALICE_ADDRESS)
    assert Keypair.from_suri(found["secretKeyUri"], "sr25519") == alice
    assert refused(capsys, "import", str(path)) == (
        "an export has a password: give --password-interactive or --password-filename"
    )


@pytest.mark.parametrize("content", ["", "\n", "x" * (passwords.MAX_SIZE + 1)])
def test_a_file_that_holds_no_password(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    path = tmp_path / "password"
    path.write_text(content)
    line = "a password has 1 to 4096 characters"
    assert refused(capsys, "generate", "--password-filename", str(path)) == line


def test_files_that_cannot_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    assert refused(capsys, "import", missing).startswith("cannot read the export: [Errno 2]")
    flags = ("--password-filename", missing)
    assert refused(capsys, "generate", *flags).startswith("cannot read the password file: [Errno 2]")
