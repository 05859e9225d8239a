"""Make and look at keys: generate, inspect.

assay key generate                     a new sr25519 key
assay key inspect //Alice              public key and address of a secret
assay key inspect 5Grwva...utQY        public key of an address
"""

import argparse
import json
from dataclasses import asdict, dataclass
from typing import cast

from chain.commands.failure import USAGE, Failure
from chain.env_real import RealRng
from chain.keys import KeyKind, Keypair, SuriError
from runtime.primitives import ss58

HELP = "make and look at keys"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a key; labels are subkey's."""

    secret: str | None
    public: str
    address: str


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    generate = verbs.add_parser("generate", help="make a new key")
    inspect = verbs.add_parser("inspect", help="show a key's public side")
    inspect.add_argument("uri", help="secret URI, 0x seed, or SS58 address")
    for verb in (generate, inspect):
        verb.add_argument("--scheme", choices=["sr25519", "ed25519"], default="sr25519", help="[sr25519]")
        verb.add_argument("--json", action="store_true", help="print JSON")


def run(parsed: argparse.Namespace) -> int:
    """Print a key."""
    kind = cast("KeyKind", parsed.scheme)
    uri = "0x" + RealRng().token(32).hex() if parsed.verb == "generate" else parsed.uri
    shown = _show(uri, kind)
    if parsed.json:
        print(json.dumps(asdict(shown)))
        return 0
    if shown.secret:
        print(f"Secret URI:          {shown.secret}")
    print(f"Public key (hex):    {shown.public}")
    print(f"Account ID:          {shown.public}")
    print(f"SS58 Address:        {shown.address}")
    return 0


def _show(uri: str, kind: KeyKind) -> Shown:
    if not uri:
        raise Failure("an empty secret URI names no key", USAGE)
    try:
        pair = Keypair.from_suri(uri, kind)
    except SuriError as not_secret:
        try:
            _, account = ss58.decode(uri)
        except ss58.Ss58Error:
            raise Failure(str(not_secret), USAGE) from not_secret
        return Shown(None, "0x" + account.hex(), uri)
    return Shown(uri, "0x" + pair.public.hex(), ss58.encode(pair.public))
