"""`assay key insert`: a session key goes into a node's keystore, with its record in the guard."""

import argparse

from chain.commands import password as passwords
from chain.commands import secret
from chain.commands.failure import USAGE, Failure
from chain.consensus.guard import Guard
from chain.consensus.guard_records import GuardError
from chain.env_real import RealDisk, RealRng
from chain.keys.keystore import Keystore, KeystoreError
from chain.keys.session import SessionKeys
from chain.spec import ChainSpec, SpecError


def insert(parsed: argparse.Namespace) -> bytes:
    """Store the key, and return its public key.

    Raises: Failure, SuriError.
    """
    try:
        spec = ChainSpec.load(parsed.chain)
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    password = passwords.read(parsed)
    if password is None and not spec.is_test_chain:
        raise Failure(
            f"keys for {spec.id} ({spec.chain_type}) want a password: give --password-interactive or "
            "--password-filename",
            USAGE,
        )
    suri = secret.read(parsed.suri)
    home = spec.home(parsed.base_path)
    try:
        guard = Guard.open(RealDisk(home / "guard"))
    except GuardError as problem:
        raise Failure(f"{problem}; a node that runs takes keys by author_insertKey") from problem
    try:
        disk = RealDisk(parsed.keystore_path or home / "keystore")
        keys = SessionKeys(Keystore(disk, password), guard, RealRng())
        public = keys.insert(parsed.key_type.encode(), suri)
    except KeystoreError as problem:
        raise Failure(str(problem)) from problem
    finally:
        guard.close()
    return public
