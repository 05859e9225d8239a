"""Long queries take turns, and answers end their round."""

import asyncio

from chain.rpc.turns import ROUND, Pace, Turns


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


async def test_long_answers_of_many_clients_leave_each_round_to_others():
    pace, rounds, ran = Pace(), 0, []

    async def client():
        await pace.wait()
        ran.append(rounds)
        pace.spend(ROUND * 2)

    clients = [asyncio.create_task(client()) for _ in range(10)]
    while not all(each.done() for each in clients):
        rounds += 1
        await asyncio.sleep(0)
    assert len(set(ran)) == len(ran) == 10


async def test_short_answers_share_a_round():
    pace, rounds, ran = Pace(), 0, []

    async def client():
        for _ in range(5):
            await pace.wait()
            ran.append(rounds)
            pace.spend(ROUND / 100)

    clients = [asyncio.create_task(client()) for _ in range(10)]
    while not all(each.done() for each in clients):
        rounds += 1
        await asyncio.sleep(0)
    assert len(set(ran)) == 1
