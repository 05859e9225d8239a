"""The secret of a key that lies in a file, in any of the forms that people have.

a secret URI in the first line
what `assay key generate --json` prints
an export of polkadot.js, which a password opens
"""

import json
from pathlib import Path
from typing import Any

from chain.keys.pair import MAX_SURI, with_password
from chain.keys.polkadot_json import MAX_SIZE, PolkadotJsonError, open_export

NAMES = ("secretPhrase", "secretKeyUri")
"""of a secret in the JSON of `assay key`"""
FROM_JSON = "give what `assay key generate --json` has printed"


class SecretFileError(Exception):
    """The file holds no secret that can be read; one line says why, without repeating what is in it."""


def secret_in(path: Path, password: str | None = None) -> str:
    """Return the secret URI that a file holds, with the password as a part of it, or opened by it.

    Raises: SecretFileError, SuriError.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise SecretFileError(f"cannot read the secret's file: {problem}") from problem
    if not text.lstrip().startswith("{"):
        suri = text.partition("\n")[0].strip()
    elif '"encoded"' in text:
        return _in_export(path, text, password)
    else:
        suri = _in_json(path, text)
    if not 0 < len(suri) <= MAX_SURI:
        raise SecretFileError(f"{path} must begin with a secret URI of 1 to {MAX_SURI} characters")
    return suri if password is None else with_password(suri, password)


def _in_json(path: Path, text: str) -> str:
    try:
        found: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SecretFileError(f"{path} is cut off: {FROM_JSON}") from problem
    suri = next((found[name] for name in NAMES if name in found), None)
    if not isinstance(suri, str):
        raise SecretFileError(f"{path} has no {NAMES[0]}: {FROM_JSON}")
    return suri


def _in_export(path: Path, text: str, password: str | None) -> str:
    if password is None:
        raise SecretFileError(
            f"{path} is an export of polkadot.js: give its password with --password-interactive or "
            "--password-filename, or open it with `assay key import`"
        )
    try:
        pair = open_export(text, password)
    except PolkadotJsonError as problem:
        raise SecretFileError(f"{path}: {problem}") from problem
    if pair.kind != "sr25519":
        raise SecretFileError(f"{path} holds an {pair.kind} key; what signs here is sr25519")
    return "0x" + pair.secret.hex()
