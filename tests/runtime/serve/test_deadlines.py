"""`guard.within`: a deadline that neither loses a result nor a cancellation."""

import asyncio

import pytest

pytest.importorskip("starlette")


def test_a_result_in_time_is_given_and_a_late_one_is_cancelled():
    from ddpm_rt.serve.guard import within

    ended = []

    async def slow():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def fast():
        return 5

    async def both():
        assert await within(fast(), 60) == 5
        with pytest.raises(TimeoutError):
            await within(slow(), 0.01)
        await asyncio.sleep(0)

    asyncio.run(both())
    assert ended == [True]


def test_a_cancellation_that_comes_together_with_the_result_is_not_lost():
    """With asyncio.wait_for of Python 3.11, the task goes on: a response then waits for its client for ever."""
    from ddpm_rt.serve.guard import within

    async def cancelled_at(turns):
        waited = asyncio.get_running_loop().create_future()

        async def one():
            return await waited

        task = asyncio.ensure_future(within(one(), 60))
        for _ in range(3):
            await asyncio.sleep(0)
        waited.set_result(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            return None
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    found = [asyncio.run(cancelled_at(turns)) for turns in range(6)]
    assert True in found
    assert False not in found
