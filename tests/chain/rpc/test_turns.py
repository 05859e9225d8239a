"""Long queries take turns."""

import asyncio

from chain.rpc.turns import Turns


async def test_one_query_runs_in_each_round_of_the_loop():
    turns, rounds, ran = Turns(), 0, []

    async def query(name):
        for _ in range(3):
            await turns.take()
            ran.append((name, rounds))

    queries = [asyncio.create_task(query(name)) for name in "abcd"]
    while not all(each.done() for each in queries):
        rounds += 1
        await asyncio.sleep(0)
    assert [name for name, _ in ran] == list("abcd") * 3
    assert len({when for _, when in ran}) == len(ran)
