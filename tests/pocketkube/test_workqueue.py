"""The queue's promises: once while waiting, never twice at once, delays, back-off."""

import asyncio

from lab_helpers.pocketkube.clock import FakeClock
from lab_helpers.pocketkube.workqueue import WorkQueue


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_key_that_waits_is_there_once() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert len(queue) == 0

    asyncio.run(main())


def test_a_key_added_while_it_is_processed_comes_back_after_done() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        assert len(queue) == 1
        assert await queue.get() == "a"
        queue.done("a")
        assert len(queue) == 0

    asyncio.run(main())


def test_a_waiting_worker_is_woken() -> None:
    async def main() -> None:
        queue = WorkQueue()
        getters = [asyncio.create_task(queue.get()) for _ in range(2)]
        await settle()
        queue.add("a")
        queue.add("b")
        assert sorted(await asyncio.gather(*getters)) == ["a", "b"]

    asyncio.run(main())


def test_a_cancelled_worker_loses_no_key() -> None:
    async def main() -> None:
        queue = WorkQueue()
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await settle()
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 5) == "a"

    asyncio.run(main())


def test_of_several_delays_the_shortest_counts() -> None:
    async def main() -> None:
        clock = FakeClock()
        queue = WorkQueue(clock)
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 7)
        await settle()
        clock.advance(2.9)
        await settle()
        assert len(queue) == 0
        clock.advance(0.1)
        await settle()
        assert len(queue) == 1
        clock.advance(60)
        await settle()
        assert len(queue) == 1

    asyncio.run(main())


def test_retries_back_off_until_forgotten() -> None:
    async def main() -> None:
        clock = FakeClock()
        queue = WorkQueue(clock, base_delay=1, max_delay=4)
        for delay in (1, 2, 4, 4, 1):
            if delay == 1:
                queue.forget("a")
            queue.add_rate_limited("a")
            await settle()
            clock.advance(delay - 0.01)
            await settle()
            assert len(queue) == 0
            clock.advance(0.01)
            await settle()
            queue.done(await queue.get())

    asyncio.run(main())


def test_close_forgets_what_waits_for_its_time() -> None:
    async def main() -> None:
        clock = FakeClock()
        queue = WorkQueue(clock)
        queue.add_after("a", 1)
        await settle()
        queue.close()
        clock.advance(2)
        await settle()
        assert len(queue) == 0

    asyncio.run(main())
