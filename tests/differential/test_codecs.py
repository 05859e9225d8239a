"""Our codecs and metadata against scalecodec, cyscale and @polkadot/types, value by value."""

from functools import cache
from typing import Any

import pytest

from runtime.primitives.header import Header
from runtime.primitives.types import Index, Raw
from tests.differential.readers import WITH_MAPS, Scalecodec, cyscale, polkadot_js
from tests.differential.samples import METADATA, Sample, integers, mentions, samples

ROUNDS = 3
"""values of each type; `make differential` takes more"""


@cache
def some() -> tuple[Sample, ...]:
    """Return the samples of the short form."""
    return tuple(samples(ROUNDS))


def meant(sample: Sample, value: Any) -> Any:
    """Return what of a reader's value has the integers of ours."""
    if sample.where == ["events"]:
        return [(each["extrinsic_idx"], each["event"]["attributes"]) for each in value]
    return value


def readable_by_v14(listed: tuple[Sample, ...]) -> list[Sample]:
    """Leave out what V14 does not describe: the headers and what runtime APIs take and give."""
    return [each for each in listed if each.where[0] not in ("header", "input", "output")]


def content(value: Any) -> Any:
    """Return a decoded value in JSON's types; without call_hash, which scalecodec takes of the outer call."""
    match value:
        case dict():
            return {name: content(each) for name, each in value.items() if name != "call_hash"}
        case list() | tuple():
            return [content(each) for each in value]
    return value


def check_scalecodec(listed: tuple[Sample, ...]) -> int:
    """Let scalecodec decode and encode samples by V14; return how many."""
    reader, chosen = Scalecodec(), readable_by_v14(listed)
    for sample in chosen:
        value, again = reader.read(sample)
        assert integers(meant(sample, value)) == integers(sample.value), sample
        assert again in (None, sample.encoded), sample
    return len(chosen)


def check_cyscale(listed: tuple[Sample, ...]) -> int:
    """Let cyscale decode samples by V15: they mean what they mean to scalecodec by V14; return how many."""
    older = Scalecodec()
    chosen = [each for each in listed if each.where[0] != "header"]
    found = cyscale(chosen)
    assert found["types"] == list(range(len(found["types"])))
    for sample, value in zip(chosen, found["values"], strict=True):
        assert integers(meant(sample, value)) == integers(sample.value), sample
        if sample.where[0] not in ("input", "output") and sample.where not in WITH_MAPS:
            assert content(older.read(sample)[0]) == content(value), sample
    return len(chosen)


def check_polkadot_js(version: int, listed: tuple[Sample, ...]) -> int:
    """Let @polkadot/types decode and encode samples, and hash headers; return how many.

    It takes an Index of MultiAddress for a number, where a chain without account indices has nothing, and a
    short Raw for an Index: those are left out.
    """
    described = listed if version == 15 else [*(each for each in listed if each.where == ["header"])]
    described = list(described) + (readable_by_v14(listed) if version == 14 else [])
    chosen = [each for each in described if not mentions(each.value, (Index, Raw))]
    found = polkadot_js(version, chosen)
    assert found["version"] == version
    assert found["types"] == list(range(len(found["types"])))
    for sample, value in zip(chosen, found["values"], strict=True):
        assert value["again"] == "0x" + sample.encoded.hex(), sample
        if isinstance(sample.value, Header):
            assert value["hash"] == "0x" + sample.value.hash().hex(), sample
    return len(chosen)


def test_scalecodec_reads_what_we_write() -> None:
    assert check_scalecodec(some()) > 500


def test_cyscale_reads_what_we_write() -> None:
    assert check_cyscale(some()) > 500


@pytest.mark.node
@pytest.mark.parametrize("version", METADATA)
def test_polkadot_js_reads_and_writes_what_we_write(version: int) -> None:
    assert check_polkadot_js(version, some()) > 500


def test_the_samples_reach_every_type_that_travels() -> None:
    reader = Scalecodec()
    reached: set[int] = set()
    waiting = [reader.type_of(each.where) for each in readable_by_v14(some())]
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached.add(number)
            waiting += parts(reader.definition(number))
    names = {"::".join(reader.path(each)) for each in reader.types if each not in reached}
    errors = {name for name in names if name.endswith("::pallet::Error")}
    assert names - errors - {""} == NEVER_IN_STATE | PARTS_OF_EXTRINSICS


NEVER_IN_STATE = {"assay_runtime::RuntimeError", "assay_runtime::Runtime"}
PARTS_OF_EXTRINSICS = {
    "sp_runtime::generic::era::Era",
    "frame_metadata_hash_extension::Mode",
    "sp_runtime::MultiSignature",
    "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
}
"""tests/differential/test_extrinsics.py has them"""


def parts(definition: dict[str, Any]) -> list[int]:
    """Return the types that a type's definition names."""
    match definition:
        case {"composite": {"fields": fields}}:
            return [each["type"] for each in fields]
        case {"variant": {"variants": variants}}:
            return [field["type"] for each in variants for field in each["fields"]]
        case {"sequence": {"type": one}} | {"array": {"type": one}} | {"compact": {"type": one}}:
            return [one]
        case {"tuple": members}:
            return list(members)
    return []
