"""Malformed WebSockets: handshakes, frames, messages, and ways to leave."""

import json
from random import Random

from hostile.case import BODY, Case, Ending, Family, Pause, Target, encoded, noise
from hostile.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame
from hostile.samples import BODIES

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13", "sec-websocket-key": _KEY}
_WRONG: tuple[tuple[str, str | None], ...] = (
    *(("sec-websocket-version", value) for value in ("8", "0", "14", "-13", "13, 8", "thirteen", "", "9" * 5000)),
    ("sec-websocket-version", None),
    *(
        ("sec-websocket-key", value)
        for value in ("", "x", "AAAA", "A" * 24, _KEY + _KEY, "=" * 24, "\xe4" * 24, " ", "A" * 9000)
    ),
    ("sec-websocket-key", None),
    *(
        ("connection", value)
        for value in ("Upgrade, \x7f", "Upgrade,,", "keep-alive, Upgrade", 'Upgrade, "x"', "Upgrade; a=b", "@Upgrade")
    ),
    *(("upgrade", value) for value in ("WebSocket", "websocket, h2c", "websocket/13", "websocket;a", "web socket")),
    *(
        ("sec-websocket-extensions", value)
        for value in ("permessage-deflate", ";;;", 'a; b="', "x-" + "a" * 9000, "\xff")
    ),
    *(
        ("sec-websocket-protocol", value)
        for value in ("bearer", "bearer, nonsense", ",,", "a b", "\xff", "x" * 9000, ", ".join("ab" * 500))
    ),
    *(("origin", value) for value in ("null", "\xff", "http://" + "a" * 9000, "a, b")),
    *(("content-length", value) for value in ("0", "5", "00", "99999999")),
    ("transfer-encoding", "chunked"),
    *(("host", value) for value in ("", "a b", "\xff", "x:y:z", "[::1")),
    *(("x", value) for value in ("a" * 8190, "a" * 20_000)),
)
_METHODS = ("POST", "HEAD", "OPTIONS", "PUT", "get", "CONNECT")
_BAD_UTF8 = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"ok\xe2\x82")
_BAD_FRAMES = (
    frame(TEXT, b"x", masked=False),
    frame(PING, b"x", masked=False),
    *(frame(opcode, b"x") for opcode in (0x3, 0x4, 0x7, 0xB, 0xF)),
    *(frame(TEXT, b"x", reserved=bits) for bits in (1, 2, 4, 7)),
    frame(PING, b"x", reserved=4),
    frame(PING, b"x" * 126),
    frame(PONG, b"x" * 70_000),
    frame(PING, b"x", final=False),
    frame(CLOSE, b"\x03"),
    frame(CLOSE, b"\x03\xe8", final=False),
    frame(CLOSE, b"\x03\xe8" + b"x" * 130),
    frame(CONTINUATION, b"x"),
    frame(CONTINUATION, b"x", final=False) + frame(CONTINUATION, b"x"),
    frame(TEXT, b"x", final=False) + frame(TEXT, b"y"),
    frame(TEXT, b"x", final=False) + close(1000),
    frame(TEXT, b"x" * (64 * 1024 + 1)),
    frame(BINARY, b"x" * 300_000),
    frame(TEXT, b"x", claimed=2**63, width=8),
    frame(TEXT, b"x", claimed=2**62, width=8),
    frame(TEXT, b"x", claimed=2**31, width=8),
    frame(TEXT, b"xx", width=8),
    frame(TEXT, b"xx", width=2),
    frame(TEXT, b"x" * 30_000, final=False) * 4,
    frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) * 1000,
    frame(TEXT, b"\xaa\x00\x02", reserved=4),  # as if compression had been negotiated
    *(frame(TEXT, text) for text in _BAD_UTF8),
    frame(TEXT, b"\xe2\x82", final=False) + frame(CONTINUATION, b"\xff"),
    *(close(code) for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)),
    close(1000, b"\xff\xfe"),
    close(1000) + frame(TEXT, b"after the end"),
    close(3000, b"x" * 123),
)


def handshake(rng: Random, target: Target) -> Case:
    """Ask for a WebSocket wrongly."""
    headers: dict[str, str] = dict(HANDSHAKE)
    for name, value in rng.sample(_WRONG, rng.randint(1, 2)):
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = value
    method = rng.choice(_METHODS) if rng.random() < 0.2 else "GET"
    head = target.head(method, rng.choice((*_paths(rng, target), "/livez", "/\xe4", "*")), **headers)
    if rng.random() < 0.1:
        head = head.replace(b" HTTP/1.1", rng.choice((b" HTTP/1.0", b" HTTP/2.0", b"")), 1)
    if rng.random() < 0.1:
        head = head[:-2] + b"".join(b"x-%d: 1\r\n" % number for number in range(200)) + b"\r\n"
    return Case(
        "handshake", (head + noise(rng) if rng.random() < 0.3 else head,), Ending.LISTEN, bodiless=method == "HEAD"
    )


def bad_frames(rng: Random, target: Target) -> Case:
    """Break the rules of frames, now and then after good ones."""
    said = [rng.choice(_BAD_FRAMES) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.3:
        said.insert(0, frame(PING, b"hello"))
    return Case("bad frames", (_open(rng, target), Pause(0.01), *said), _leaving(rng))


def noisy_frames(rng: Random, target: Target) -> Case:
    """Send random bytes as frames."""
    return Case("noise as frames", (_open(rng, target), Pause(0.01), noise(rng, 2000)), _leaving(rng))


def uninvited(rng: Random, target: Target) -> Case:
    """Talk to streams that expect no word."""
    messages = [frame(rng.choice((TEXT, BINARY)), rng.choice(BODIES)) for _ in range(rng.randint(1, 50))]
    path = rng.choice((f"/ws/orders/{rng.choice(target.order_ids)}", "/ws?wallet=hostile"))
    return Case("uninvited message", (target.head("GET", path, **HANDSHAKE), Pause(0.01), *messages), _leaving(rng))


def first_message(rng: Random, target: Target) -> Case:
    """Begin with what is no order."""
    wrong = rng.choice((*BODIES, encoded(amountIn="-1"), encoded(tokenIn="\0"), encoded(userWallet="x" * 65)))
    said = frame(rng.choice((TEXT, BINARY)), wrong)
    if rng.random() < 0.3:  # in fragments, with a ping between them
        half = len(wrong) // 2
        said = frame(TEXT, wrong[:half], final=False) + frame(PING) + frame(CONTINUATION, wrong[half:])
    path = "/api/orders/execute" + rng.choice(("", "", "?after=1", "?after=%00", "?x=1"))
    return Case("first message", (target.head("GET", path, **HANDSHAKE), Pause(0.01), said), _leaving(rng))


def too_early(rng: Random, target: Target) -> Case:
    """Send frames before the handshake is answered, in the same packet or right behind it."""
    early = rng.choice((frame(TEXT, json.dumps(BODY).encode()), frame(PING, b"x") * 20, close(1000), *_BAD_FRAMES))
    opening = _open(rng, target)
    return Case("too early", rng.choice(((opening + early,), (opening, early))), _leaving(rng))


def sudden_end(rng: Random, target: Target) -> Case:
    """Vanish in the handshake, in a frame or behind one."""
    opening = _open(rng, target)
    said = frame(TEXT, json.dumps(BODY | {"userWallet": "hostile"}).encode())
    everything = opening + said
    if rng.random() < 0.5:
        return Case("sudden end", (everything[: rng.randrange(1, len(everything))],), _leaving(rng, gently=False))
    return Case("sudden end", (opening, Pause(0.01), said[: rng.randrange(1, len(said))]), _leaving(rng, gently=False))


def flood(rng: Random, target: Target) -> Case:
    """Send many small frames at once and read little of what comes back."""
    many = rng.choice(
        (frame(PING, b"x" * 125), frame(PONG, b"x"), frame(TEXT, b""), frame(CONTINUATION, b"", final=False))
    )
    return Case("flood", (_open(rng, target), Pause(0.01), many * rng.randint(100, 2000)), _leaving(rng))


def _open(rng: Random, target: Target) -> bytes:
    return target.head("GET", rng.choice(_paths(rng, target)), **HANDSHAKE)


def _paths(rng: Random, target: Target) -> tuple[str, ...]:
    order_id = rng.choice(target.order_ids)
    return (
        f"/ws/orders/{order_id}",
        f"/ws/orders/{order_id}?after=99999",
        f"/api/orders/execute?orderId={order_id}",
        "/api/orders/execute",
        "/ws?wallet=hostile",
        "/ws?userId=hostile&since=2026-01-01T00:00:00Z",
        "/ws?wallet=%00%0d%0a",
        "/ws/orders/%00",
        "/ws/%ff",
    )


def _leaving(rng: Random, *, gently: bool = True) -> Ending:
    return rng.choice((Ending.LISTEN, Ending.HALF_CLOSE, Ending.RESET) if gently else (Ending.HALF_CLOSE, Ending.RESET))


FAMILIES: tuple[Family, ...] = (
    handshake,
    handshake,
    bad_frames,
    bad_frames,
    noisy_frames,
    uninvited,
    first_message,
    too_early,
    sudden_end,
    flood,
)
