import asyncio

from mockdex.latency import Latency


async def test_callbacks_come_after_their_delay_in_order():
    latency, called = Latency(), []
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    began = loop.time()
    for delay_ms in (30, 10, 20):
        latency.after(delay_ms, lambda delay_ms=delay_ms: called.append((delay_ms, loop.time() - began)))
    latency.after(40, lambda: done.set_result(None))
    await done
    assert [delay_ms for delay_ms, _ in called] == [10, 20, 30]
    assert all(passed >= delay_ms / 1000 for delay_ms, passed in called)
    assert not latency._due


async def test_one_that_fails_does_not_take_the_others_along():
    latency = Latency()
    loop = asyncio.get_running_loop()
    failures = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    done = loop.create_future()
    latency.after(0, lambda: 1 // 0)
    latency.after(0, lambda: done.set_result("called"))
    assert await done == "called"
    assert isinstance(failures[0], ZeroDivisionError)


async def test_what_is_due_together_shares_a_timer():
    latency = Latency()
    for _ in range(500):
        latency.after(50, lambda: None)
    assert len(latency._due) < 100
