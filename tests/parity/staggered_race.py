"""staggered_race: a failure starts the next at once, the winner cancels the rest, without a
winner everybody's error is told. The order only: the turns it takes differ between Pythons."""
# requires: 3.12

import asyncio
from asyncio.staggered import staggered_race

from scenario import note


def way(label, turns, error=None):
    async def run():
        note(label, "starts")
        for _ in range(turns):
            await asyncio.sleep(0)
        if error:
            note(label, "fails")
            raise ValueError(error)
        note(label, "wins")
        return label
    return run


async def race(*ways):
    winner, index, exceptions = await staggered_race(ways, None)
    note("winner", winner, index)
    note("exceptions", exceptions)


async def program():
    note("begins")
    await race(way("a", 1))
    await race(way("a", 1, "no"), way("b", 0))
    await race(way("a", 0, "one"), way("b", 1, "two"))
    await race()


asyncio.run(program())
