"""A client that reads too slowly is sent away, and costs nobody else anything."""

import socket
from uuid import UUID

from redis import Redis

from engine_common import live
from integration.api.running_api import RunningApi
from integration.api.test_wallet_stream import heard
from support.orders import new_id


def flood(redis: Redis, wallet: str, order_id: UUID, messages: int) -> None:
    """Publish large events of the wallet's order."""
    padding = "x" * 10_000
    pipeline = redis.pipeline(transaction=False)
    for seq in range(1, messages + 1):
        event = f'{{"orderId":"{order_id}","seq":{seq},"status":"routing","data":{{"padding":"{padding}"}}}}'
        pipeline.publish(live.wallet_channel("default", wallet), event)
    pipeline.execute()


async def test_a_slow_reader_is_closed_and_told_to_resume(api: RunningApi, redis: Redis, wallet: str) -> None:
    """What was sent before arrives in order; whoever reads fast enough hears everything."""
    lazy_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    lazy_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy_socket.connect(("127.0.0.1", api.port))
    lazy_socket.setblocking(False)
    async with (
        api.listening(f"/ws?wallet={wallet}", sock=lazy_socket, max_queue=1) as lazy,
        api.listening(f"/ws?wallet={wallet}") as quick,
    ):
        await heard(redis, wallet)
        for _ in range(10):
            flood(redis, wallet, new_id(), 50)
            await quick.hear(50)
        await lazy.hear_all()
    assert lazy.code == 4008
    assert 0 < len(lazy.events) < len(quick.events)
    assert lazy.events == quick.events[: len(lazy.events)]
