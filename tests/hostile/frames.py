"""WebSocket frames by hand: written as wrongly as wanted, read as strictly as RFC 6455 says."""

import os
import struct
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}
_LONGEST_CONTROL = 125
_MASKED = 0x80


class NotAFrame(Exception):
    """The server sent what is no WebSocket frame."""


@dataclass(frozen=True)
class Frame:
    """A frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int | None:
        """The code of a closing frame that has one."""
        return struct.unpack("!H", self.payload[:2])[0] if self.opcode == CLOSE and self.payload else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    claimed: int | None = None,
    width: int | None = None,
) -> bytes:
    """Return a client's frame; `claimed` is the length that it says, `width` the bytes of the length (0, 2 or 8)."""
    length = len(payload) if claimed is None else claimed
    if width is None:
        width = 0 if length <= _LONGEST_CONTROL else 2 if length < 2**16 else 8
    short = {0: length & 0x7F, 2: 126, 8: 127}[width]
    head = bytes([(0x80 if final else 0) | (reserved << 4) | opcode, (_MASKED if masked else 0) | short])
    head += (length % 2 ** (8 * width)).to_bytes(width, "big") if width else b""
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a client's closing frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def read_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Return the server's frames and what is left of an unfinished one. Raises NotAFrame."""
    found: list[Frame] = []
    while (one := _read_frame(data)) is not None:
        read, size = one
        found.append(read)
        data = data[size:]
    return found, data


def _read_frame(data: bytes) -> tuple[Frame, int] | None:
    if len(data) < 2:
        return None
    opcode, length, start = data[0] & 0x0F, data[1] & 0x7F, 2
    if data[0] & 0x70 or data[1] & _MASKED or opcode not in _KNOWN:
        raise NotAFrame(repr(data[:20]))
    width = {126: 2, 127: 8}.get(length, 0)
    if width:
        start += width
        if len(data) < start:
            return None
        length = int.from_bytes(data[2:start], "big")
    if opcode >= CLOSE and (length > _LONGEST_CONTROL or not data[0] & 0x80):
        raise NotAFrame(f"a control frame of {length} bytes")
    if len(data) < start + length:
        return None
    payload = data[start : start + length]
    if opcode == TEXT:
        _require_text(payload)
    return Frame(opcode, payload), start + length


def _require_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise NotAFrame("text that is not UTF-8") from None
