"""Exports of polkadot.js, encrypted by py-substrate-interface."""

import base64
import json
from typing import Any

import sr25519
from substrateinterface.utils.encrypted_json import encode_pair

from chain.keys.pair import Keypair
from runtime.primitives import ss58


def export(pair: Keypair, password: str, **changed: Any) -> str:
    """Return an export of a key; `changed` replaces its fields."""
    secret = {
        "sr25519": lambda: bytes(sr25519.convert_secret_key_to_ed25519(pair.secret)),
        "ed25519": lambda: pair.secret + pair.public,
        "ecdsa": lambda: pair.secret,
    }[pair.kind]()
    return json.dumps(
        {
            "encoded": base64.b64encode(encode_pair(pair.public, secret, password)).decode(),
            "encoding": {
                "content": ["pkcs8", pair.kind],
                "type": ["scrypt", "xsalsa20-poly1305"],
                "version": "3",
            },
            "address": ss58.encode(pair.account),
            "meta": {"name": "exported"},
        }
        | changed
    )
