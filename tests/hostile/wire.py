"""Sends a case over a connection of its own and listens."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from hostile.answers import NotHttp, read_answers
from hostile.case import Case, Ending, Pause, Target

_ANSWER_WITHIN_S = 20.0
_LISTEN_S = 0.05
_READ_BYTES = 2**18
_CONNECT_WITHIN_S = 20.0


@dataclass(frozen=True)
class Spoken:
    """What the server said; `ended`: it closed the connection before the client did, `torn`: with a reset.

    A reset is what TCP makes of a close before everything was read; it may take the end of an answer with it.
    """

    data: bytes
    ended: bool
    torn: bool


async def perform(case: Case, target: Target) -> Spoken:
    """Do what the case says. Raises OSError when no connection is to be had."""
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        reader, writer = await asyncio.open_connection(target.host, target.port)
    heard = bytearray()
    listening = asyncio.create_task(_listen(reader, heard))
    torn = False
    try:
        await _say(case, writer)
        ended = await _leave(case, listening, heard)
        torn = ended and listening.result()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        if case.ending is Ending.RESET:
            _reset(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return Spoken(bytes(heard), ended, torn)


async def _listen(reader: asyncio.StreamReader, heard: bytearray) -> bool:
    """Listen until the server closes; return whether it did so with a reset."""
    try:
        while data := await reader.read(_READ_BYTES):
            heard += data
    except ConnectionError:
        return True
    return False


async def _say(case: Case, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # a server may close before it has heard everything
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            for piece in case.pieces:
                if isinstance(piece, Pause):
                    await asyncio.sleep(piece.seconds)
                else:
                    writer.write(piece)
                    await writer.drain()
            if case.ending is Ending.HALF_CLOSE:
                writer.write_eof()


async def _leave(case: Case, listening: asyncio.Task[bool], heard: bytearray) -> bool:
    """Wait as long as the case wants to; return whether the server has closed."""
    if case.ending is Ending.RESET:
        return False
    if case.ending is not Ending.WAIT:
        done, _ = await asyncio.wait((listening,), timeout=_LISTEN_S)
        return bool(done)
    deadline = asyncio.get_running_loop().time() + _ANSWER_WITHIN_S
    while not _answered(case, heard) and asyncio.get_running_loop().time() < deadline:
        done, _ = await asyncio.wait((listening,), timeout=0.005)
        if done:
            return True
    return False


def _answered(case: Case, heard: bytearray) -> bool:
    try:
        return bool(read_answers(bytes(heard), bodiless=case.bodiless).answers)
    except NotHttp:
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
