"""Make, show and store keys: generate, inspect, insert, import; and node keys.

assay key generate                     a new sr25519 key with its phrase
assay key inspect                      public key and address of a secret, which is asked for
assay key inspect 5Grwva...utQY        public key of an address
assay key insert --key-type babe --suri babe.json --chain local   a session key for a node's keystore
assay key import account.json          the secret in an export of polkadot.js
assay key generate-node-key --file node-key    for `assay node --node-key-file`

Others on this machine see what stands on a command line: no place for a secret that not everybody knows.
A password is part of the secret, as in subkey: the phrase alone opens nothing then. The keystore keeps
phrases without it, so the node must be given the same password. Off development chains insert wants one.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import cast, get_args

from chain.commands import password as passwords
from chain.commands import secret
from chain.commands.failure import USAGE, Failure
from chain.commands.places import DEFAULT_BASE
from chain.env_real import RealDisk, RealRng
from chain.keys.keystore import KEY_KINDS
from chain.keys.node import NodeKeyError, parse_node_key, peer_id, read_node_key
from chain.keys.pair import KeyKind, Keypair, SuriError, new_phrase, plain_seed, with_password
from chain.keys.polkadot_json import MAX_SIZE, PolkadotJsonError, open_export
from runtime.primitives import ss58

INSERT = "chain.commands.key_insert"
"""Loaded for `insert` alone: a chain specification needs the whole runtime, which takes its time."""
NETWORK = "substrate"
"""What subkey calls addresses of format 42."""
LABELS = {
    "networkId": "Network ID",
    "secretSeed": "Secret seed",
    "publicKey": "Public key (hex)",
    "accountId": "Account ID",
    "ss58PublicKey": "Public key (SS58)",
    "ss58Address": "SS58 Address",
}
"""subkey's names of a key's parts, in JSON and in text."""

Shown = dict[str, str]
"""What is shown of a key, by subkey's JSON names."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    generate = verbs.add_parser("generate", help="make a new key")
    inspect = verbs.add_parser("inspect", help="show a key")
    inspect.add_argument("uri", nargs="?", help=f"SS58 address, {secret.HELP}")
    insert = verbs.add_parser("insert", help="put a session key into a node's keystore")
    insert.add_argument("--key-type", required=True, choices=[each.decode() for each in KEY_KINDS])
    insert.add_argument("--suri", metavar="URI|FILE", help=secret.HELP)
    insert.add_argument("--chain", metavar="ID|FILE", default="local", help="dev, local, or a specification")
    insert.add_argument(
        "-d", "--base-path", type=Path, default=DEFAULT_BASE, metavar="PATH", help=f"[{DEFAULT_BASE}]"
    )
    insert.add_argument("--keystore-path", type=Path, metavar="PATH", help="[keystore in the data directory]")
    imported = verbs.add_parser("import", help="read a key exported by polkadot.js")
    imported.add_argument("file", type=Path, help="the JSON file")
    new_node_key = verbs.add_parser("generate-node-key", help="make a key that names a node among peers")
    new_node_key.add_argument("--file", type=Path, metavar="PATH", help="write it there, not to the terminal")
    node_key = verbs.add_parser("inspect-node-key", help="show the peer id of a node key")
    node_key.add_argument("--file", type=Path, metavar="PATH", required=True, help="file with the key")
    for verb in (generate, inspect):
        verb.add_argument("--scheme", choices=get_args(KeyKind), default="sr25519", help="[sr25519]")
    for verb in (generate, inspect, insert, imported):
        verb.add_argument("--json", action="store_true", help="print JSON")
        passwords.describe(verb)


def run(parsed: argparse.Namespace) -> int:
    """Do what the verb says and print the key."""
    verbs = {"generate": _generate, "inspect": _inspect, "insert": _insert, "import": _import}
    node_keys = {"generate-node-key": _generate_node_key, "inspect-node-key": _inspect_node_key}
    try:
        if parsed.verb in node_keys:
            node_keys[parsed.verb](parsed)
            return 0
        shown = verbs[parsed.verb](parsed)
    except (SuriError, PolkadotJsonError, NodeKeyError) as problem:
        raise Failure(str(problem), USAGE) from problem
    print(json.dumps(shown) if parsed.json else _text(shown))
    return 0


def _generate(parsed: argparse.Namespace) -> Shown:
    phrase = new_phrase()
    suri = _unlocked(phrase, passwords.read(parsed))
    return {"secretPhrase": phrase, **_secret(suri, cast("KeyKind", parsed.scheme))}


def _inspect(parsed: argparse.Namespace) -> Shown:
    account = None if parsed.uri is None else _address(parsed.uri)
    if account is not None:
        return {"publicKeyUri": parsed.uri, **_public(account, account)}
    uri = secret.read(parsed.uri)
    suri = _unlocked(uri, passwords.read(parsed))
    name = "secretPhrase" if " " in uri and plain_seed(uri) else "secretKeyUri"
    return {name: uri, **_secret(suri, cast("KeyKind", parsed.scheme))}


def _insert(parsed: argparse.Namespace) -> Shown:
    loaded = import_module(INSERT)
    public: bytes = loaded.insert(parsed)
    return _public(public, public)


def _generate_node_key(parsed: argparse.Namespace) -> None:
    """Print a new secret key, or write it to a file; the peer id goes to standard error, as in Substrate."""
    made = RealRng().token(32)
    if parsed.file is None:
        print(made.hex())
    elif parsed.file.exists():
        raise Failure(
            f"{parsed.file} exists already, and a node may be known by it: name another file", USAGE
        )
    else:
        RealDisk(parsed.file.absolute().parent).replace(parsed.file.name, made.hex().encode())
    print(peer_id(parse_node_key(made, "the new key").public), file=sys.stderr)


def _inspect_node_key(parsed: argparse.Namespace) -> None:
    """Print the peer id of a node key."""
    print(peer_id(read_node_key(parsed.file).public))


def _import(parsed: argparse.Namespace) -> Shown:
    try:
        with parsed.file.open(encoding="utf-8") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise Failure(f"cannot read the export: {problem}", USAGE) from problem
    password = passwords.read(parsed)
    if password is None:
        raise Failure("an export has a password: give --password-interactive or --password-filename", USAGE)
    pair = open_export(text, password)
    uri = "0x" + pair.secret.hex()
    return {"secretKeyUri": uri, "scheme": pair.kind, **_secret(uri, pair.kind)}


def _unlocked(suri: str, password: str | None) -> str:
    return suri if password is None else with_password(suri, password)


def _address(text: str) -> bytes | None:
    try:
        return ss58.decode(text)[1]
    except ss58.Ss58Error:
        return None


def _secret(suri: str, kind: KeyKind) -> Shown:
    pair = Keypair.from_suri(suri, kind)
    seed = plain_seed(suri) if kind == "sr25519" else pair.secret
    return {"secretSeed": "0x" + seed.hex() if seed else "n/a", **_public(pair.public, pair.account)}


def _public(public: bytes, account: bytes) -> Shown:
    return {
        "networkId": NETWORK,
        "publicKey": "0x" + public.hex(),
        "accountId": "0x" + account.hex(),
        "ss58PublicKey": ss58.encode_key(public),
        "ss58Address": ss58.encode(account),
    }


def _text(shown: Shown) -> str:
    """Lay a key out as subkey does."""
    lines = [f"  {label + ':':<19}{shown[name]}" for name, label in LABELS.items() if name in shown]
    if "secretPhrase" in shown:
        lines.insert(0, f"{'Secret phrase:':<21}{shown['secretPhrase']}")
    elif "secretKeyUri" in shown:
        lines.insert(0, f"Secret Key URI `{shown['secretKeyUri']}` is account:")
    elif "publicKeyUri" in shown:
        lines.insert(0, f"Public Key URI `{shown['publicKeyUri']}` is account:")
    return "\n".join(lines)
