"""Who waits for whom, and for how long."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.blobs import limits
from miners.blobs.limits import Limits, Rate, Rates, Turns
from miners.blobs.signing import BadRequest


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 5_000)), max_size=50))
def test_no_second_has_more_than_its_bytes_and_one_burst(passes: list[tuple[float, int]]) -> None:
    now, passed = 0.0, 0
    rate = Rate(1_000, clock=lambda: now)
    for pause, size in passes:
        now += pause
        now += rate.owe(size)  # everybody waits as long as told
        passed += size
        assert passed <= 1_000 * now + 1_000 + 1e-3


async def test_strangers_have_one_rate_and_signers_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "Rate", partial(Rate, clock=lambda: 1_000.0))  # however long it takes
    rates = Rates(Limits(stranger_rate=100, signer_rate=100, most_callers=2))
    async with asyncio.timeout(20):
        await rates.take(None, 100)
        await rates.take(b"a", 100)
        await rates.take(b"b", 100)
        await rates.take(b"c", 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await rates.take(None, 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await rates.take(b"a", 100)


async def test_the_one_with_more_stake_comes_first_and_a_stranger_waits_for_nobody() -> None:
    turns, order = Turns(Limits(transfers=1)), list[str]()

    async def transfer(name: str, stake: int) -> None:
        async with turns.signed(name.encode(), stake):
            order.append(name)

    async with turns.signed(b"first", 0):
        waiting = []
        for name, stake in (("miner", 0), ("judge", 5), ("other miner", 0), ("big judge", 9)):
            waiting.append(asyncio.create_task(transfer(name, stake)))
            await asyncio.sleep(0)
        waiting[2].cancel()
        async with turns.stranger("192.0.2.1"):
            pass
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["big judge", "judge", "miner"]
    async with turns.signed(b"first", 0):  # nothing was lost
        pass


async def test_a_judge_takes_the_place_of_the_last_miner_in_a_full_queue() -> None:
    turns, order = Turns(Limits(transfers=1, queue=2)), list[str]()

    async def transfer(name: str, stake: int) -> None:
        async with turns.signed(name.encode(), stake):
            order.append(name)

    async with turns.signed(b"running", 0):
        waiting = []
        for name, stake in (("first", 0), ("last", 0), ("judge", 1), ("late", 0)):
            waiting.append(asyncio.create_task(transfer(name, stake)))
            await asyncio.sleep(0)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["judge", "first"]
    assert [str(each) for each in ended if each] == ["too many callers wait: try again"] * 2
    async with turns.signed(b"first", 0):  # nothing was given away twice
        late = asyncio.create_task(transfer("waits", 0))
        await asyncio.sleep(0)
        assert not late.done()
    await late


async def test_every_bound_has_its_line() -> None:
    turns = Turns(
        Limits(
            transfers=1, signer_transfers=2, stranger_transfers=2, address_transfers=1, queue=1,
            queue_seconds=0.05,
        )
    )  # fmt: skip
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(turns.signed(b"a", 0))
        await opened.enter_async_context(turns.stranger("192.0.2.1"))
        said = []
        for attempt in (
            turns.stranger("192.0.2.1"),
            turns.signed(b"a", 0),
        ):
            with pytest.raises(BadRequest) as refused:
                await attempt.__aenter__()
            said.append((refused.value.status, str(refused.value)))
        await opened.enter_async_context(turns.stranger("192.0.2.2"))
        with pytest.raises(BadRequest) as refused:
            await turns.stranger("192.0.2.3").__aenter__()
        said.append((refused.value.status, str(refused.value)))
        queued = asyncio.create_task(turns.signed(b"a", 0).__aenter__())
        await asyncio.sleep(0)
        for signer in (b"a", b"b"):
            with pytest.raises(BadRequest) as refused:
                await turns.signed(signer, 0).__aenter__()
            said.append((refused.value.status, str(refused.value)))
        with pytest.raises(BadRequest):
            await queued
    assert said == [
        (429, "1 transfers to 192.0.2.1 run: wait, or sign"),
        (503, "no transfer ended within 0.05 s: try again"),
        (503, "all transfers for callers that do not sign are taken: sign, or try again"),
        (429, "2 transfers of this hotkey run: wait for one"),
        (503, "too many callers wait: try again"),
    ]
    async with turns.signed(b"b", 0):  # and all of it is free again
        pass
