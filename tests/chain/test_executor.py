"""The executor: metadata is made once, however often and for whatever versions it is asked."""

import pytest

from chain.executor import KEPT_METADATA, Executor
from runtime.apis import NATIVE, answer
from runtime.frame.testing import MemoryState
from runtime.primitives.manifest import CODE_KEY
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import u32
from tests.runtime.bench import Chain

CHAIN = Chain()
NAME = "Metadata_metadata_at_version"


def ask(executor: Executor, version: int) -> bytes:
    return executor.call_api(CHAIN.state, CHAIN.head, NAME, codec(u32).encode(version))


@pytest.mark.parametrize("version", [0, 14, 15, 16])
def test_versions_are_those_of_the_runtime(version: int) -> None:
    executor = Executor()
    found = answer(CHAIN.state, CHAIN.head, NAME, codec(u32).encode(version))
    assert [ask(executor, version), ask(executor, version)] == [found, found]


def test_metadata_is_kept_against_questions_for_what_there_is_not() -> None:
    executor = Executor()
    kept = [executor.metadata(CHAIN.state), *(ask(executor, version) for version in (14, 15))]
    assert kept[1] == b"\x01" + codec(bytes).encode(kept[0])
    for version in range(100, 100 + 2 * KEPT_METADATA):
        assert ask(executor, version) == b"\x00"
    assert all(ask(executor, version) is kept[version - 13] for version in (14, 15))


@pytest.mark.parametrize("argument", [b"", b"\x0f", b"\x0f\0\0\0\0"])
def test_a_version_that_does_not_decode_is_refused(argument: bytes) -> None:
    with pytest.raises(DecodeError):
        Executor().call_api(CHAIN.state, CHAIN.head, NAME, argument)


def test_only_so_much_metadata_is_kept() -> None:
    executor = Executor()
    manifests = [NATIVE.manifest(f"chain-{number}") for number in range(18)]
    states = [MemoryState({**CHAIN.state.entries, CODE_KEY: each.encode()}) for each in manifests]
    argument = codec(u32).encode(14)
    made = [executor.call_api(state, CHAIN.head, NAME, argument) for state in states]
    assert len(set(made)) == 1
    again = [executor.call_api(state, CHAIN.head, NAME, argument) for state in reversed(states)]
    kept = [one is other for one, other in zip(made, reversed(again), strict=True)]
    assert kept == [False] * (len(states) - KEPT_METADATA) + [True] * KEPT_METADATA
