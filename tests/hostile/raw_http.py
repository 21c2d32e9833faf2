"""Malformed HTTP: what no library would send."""

from random import Random

from hostile.case import Case, Ending, Family, Pause, Target, encoded, noise

_METHODS = (
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "DELETE",
    "PATCH",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "QUERY",
    "X",
)
_PATHS = (
    "/",
    "//",
    "*",
    "/api/orders/../../etc/passwd",
    "/api/orders/%2e%2e/%2e%2e/etc/passwd",
    "/api/orders/%00",
    "/api/orders/%",
    "/api/orders/%zz",
    "/api/orders/%C0%AF",
    "/api/orders/user/%ED%A0%80",
    "/api/orders/user/%0d%0aSet-Cookie:%20a=b",
    "/api/orders?limit=1#fragment",
    "/api/orders;jsessionid=1",
    "/api//orders",
    "/api%2Forders",
    "/api/orders%0a",
    "/api/orders/user/.",
    "/api/orders/user/%2e%2E",
    "/api/orders/user/a/../b",
    "/livez/",
    "/livez?" + "a" * 5000,
    "/livez?" + "&".join(f"p{n}={n}" for n in range(2000)),
    "http://other.example/livez",
    "http://other.example",
    "https://[::1]:80/livez",
    "http://[::1/livez",
    "example.com:443",
    "file:///etc/passwd",
    "/\xe4",
    "/livez\t",
    "/ws",
    "/ws/orders/x",
    "/api/orders/execute?orderId=x",
    "/api/orders/execute",
    "/api/orders?walet=x&walet=y&=z",
)
_REQUEST_LINES = (
    "",
    "GET",
    "GET /",
    "GET /livez",
    "GET  /livez HTTP/1.1",
    "GET /livez  HTTP/1.1",
    " GET /livez HTTP/1.1",
    "GET /livez HTTP/1.1 ",
    "GET /livez HTTP/1.1 HTTP/1.1",
    "GET /livez HTTP/0.9",
    "GET /livez HTTP/1.2",
    "GET /livez HTTP/2.0",
    "GET /livez HTTP/3",
    "GET /livez HTTP/11",
    "GET /livez HTTP/1.1.1",
    "GET /livez http/1.1",
    "GET /livez HTPP/1.1",
    "GET /livez ICE/1.0",
    "GET /livez RTSP/1.0",
    "GET /li vez HTTP/1.1",
    "GET /livez\x00 HTTP/1.1",
    "GET\t/livez\tHTTP/1.1",
    "G\x00T /livez HTTP/1.1",
    "PRI * HTTP/2.0",
    "HTTP/1.1 200 OK",
    "GET / HTTP/-1.1",
    "GET / HTTP/1.",
)
_HEADERS = (
    b"no-colon",
    b": no name",
    b"space before : colon",
    b" folded: first",
    b"a: b\r\n folded",
    b"a: b\r\n\tfolded",
    b"a\x00b: c",
    b"a: b\x00c",
    b"a: b\rc: d",
    b"a: b\nc: d",
    b"a: b\r\r",
    b"k\xe4se: 1",
    b"a: \xff\xfe",
    b"a: \x1b[31mred\x1b[0m",
    b"(a): b",
    b"a\x7f: b",
    b"host: a\r\nhost: b",
    b"host:",
    b"connection: close, keep-alive, upgrade",
    b"connection: \x01",
    b"traceparent: 00-xyz-1-01",
    b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
    b"traceparent: " + b"f" * 5000,
    b"traceparent: \xff\xff",
    b"tracestate: " + b"a=b," * 500,
    b"baggage: " + b"a=%ff;" * 500,
    b"x-request-id: a%0d%0ab",
    b"x-forwarded-for: ' OR 1=1",
    b"x-forwarded-proto: gopher",
    b'forwarded: for="[::1]"',
    b"idempotency-key: \xff",
    b"idempotency-key: a\tb",
    b"idempotency-key:",
    b"idempotency-key: a\r\nidempotency-key: b",
    b"authorization: Bearer \xff\xfe",
    b"authorization: Basic " + b"=" * 100,
    b"x-api-key: " + b"\xe4" * 100,
    b"cookie: " + b"a=b; " * 500,
    b"origin: null",
    b"origin: \xff",
    b"accept: */*;q=NaN",
    b"accept-encoding: gzip;q=-1, br;q=9999999999",
    b"range: bytes=0-0,0-0,-1",
    b"if-none-match: *",
    b"te: trailers, \x01",
    b"expect: 200-maybe",
    b"expect: 100-continue, 100-continue",
    b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__",
    b"upgrade: websocket",
    b"upgrade: websocket\r\nconnection: upgrade",
    b"upgrade: nonsense\r\nconnection: upgrade",
    b"connection: upgrade",
    b"max-forwards: 0",
    b"content-encoding: gzip",
    b"content-encoding: identity, \xff",
)
_HOSTS = (
    b"",
    b"host: a\r\nhost: a",
    b"host: a, b",
    b"host: a b",
    b"host: [::1",
    b"host: a:b",
    b"host: user@a",
    b"host: \xff",
    b"host: " + b"a" * 9000,
    b"host : a",
    b"HOST: a\r\nx: y\r\nHost: b",
)
_LENGTHS = (
    "-1",
    "+5",
    "0x10",
    "1e3",
    "5 5",
    "5,5",
    "5, 6",
    "",
    " ",
    "abc",
    "00000000000000000005",
    "9" * 19,
    "9" * 25,
    "9" * 5000,
    "18446744073709551615",
    "18446744073709551616",
    "4294967297",
    "1.0",
    "\u0661".encode().decode("latin-1"),
    "65537",
    "3",
)
_CODINGS = (
    b"transfer-encoding: chunked\r\ncontent-length: 5",
    b"content-length: 5\r\ntransfer-encoding: chunked",
    b"transfer-encoding: xchunked",
    b"transfer-encoding : chunked",
    b"transfer-encoding: chunked, identity",
    b"transfer-encoding: identity, chunked",
    b"transfer-encoding: gzip, chunked",
    b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    b"transfer-encoding: chunked\r\ntransfer-encoding: x",
    b"transfer-encoding:\x0bchunked",
    b'transfer-encoding: "chunked"',
    b"transfer-encoding: CHUNKED",
    b"transfer-encoding\x00: chunked",
    b"content-length: 5\r\ncontent-length: 6",
    b"content-length: 5\r\ncontent-length: 5",
    b"transfer-encoding: chunked",
)
_CHUNKS = (
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"10000000000000000\r\nhello\r\n",
    b"5;" + b"x" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhello\r\n0\r\nevil: \x00\r\n\r\n",
    b"5\r\nhello\r\n0\r\ncontent-length: 9\r\ntransfer-encoding: x\r\n\r\n",
    b"0\r\n" + b"".join(b"t%d: v\r\n" % n for n in range(500)) + b"\r\n",
    b"\r\n5\r\nhello",
    b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
)
_FOREIGN = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"SSH-2.0-OpenSSH_9.7\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"EHLO example.com\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\r\n" * 2000,
    b"\x00" * 4096,
    b"GET http://x/ HTTP/1.1\r\n" + b"\r\n" * 100,
)


def request_line(rng: Random, _target: Target) -> Case:
    """Break the first line."""
    line = rng.choice(_REQUEST_LINES).encode("latin-1")
    return Case("request line", (line + b"\r\nhost: x\r\n\r\n",), Ending.LISTEN)


def header_line(rng: Random, target: Target) -> Case:
    """Break one or two headers of a read or of an order."""
    head = target.head("GET", rng.choice(("/livez", "/api/orders?limit=1")))
    if rng.random() < 0.5:
        head = target.post("/api/orders/execute", encoded(userWallet="hostile"))
    lines = b"\r\n".join(rng.sample(_HEADERS, rng.randint(1, 2)))
    return Case("header line", (head.replace(b"\r\n", b"\r\n" + lines + b"\r\n", 1),), Ending.LISTEN)


def hosts(rng: Random, target: Target) -> Case:
    """Name no host, several, or none that is one, also in the handshake of a WebSocket."""
    head = rng.choice(
        (
            target.head("GET", "/livez"),
            target.post("/api/orders", encoded(userWallet="hostile")),
            target.head("GET", "/ws?wallet=hostile", upgrade="websocket", connection="Upgrade"),
        )
    )
    lines = rng.choice(_HOSTS)
    named = b"host: %s:%d\r\n" % (target.host.encode(), target.port)
    return Case("hosts", (head.replace(named, lines + b"\r\n" if lines else b"", 1),), Ending.LISTEN)


def method_and_path(rng: Random, target: Target) -> Case:
    """Ask for odd places in odd ways."""
    method, path = rng.choice(_METHODS), rng.choice(_PATHS)
    return Case("method and path", (target.head(method, path),), Ending.LISTEN, bodiless=method == "HEAD")


def length(rng: Random, target: Target) -> Case:
    """Lie about the length of a body."""
    request = target.post("/api/orders", encoded(), content_length=rng.choice(_LENGTHS))
    return Case("length", (request,), rng.choice((Ending.LISTEN, Ending.HALF_CLOSE)))


def smuggling(rng: Random, target: Target) -> Case:
    """Let two readers disagree where a request ends."""
    head = target.head("POST", "/api/orders", content_type="application/json")
    head = head[:-2] + rng.choice(_CODINGS) + b"\r\n\r\n"
    return Case("smuggling", (head + rng.choice(_CHUNKS),), Ending.LISTEN)


def endless_framing(rng: Random, target: Target) -> Case:
    """Send much of what is neither head nor body: trailers and chunk extensions."""
    path = rng.choice(("/api/orders", "/api/orders/execute", "/nowhere", "/livez"))
    head = target.head("POST", path, content_type="application/json", transfer_encoding="chunked")
    start, drop = rng.choice(
        (
            (b"1\r\n{\r\n0\r\n", b"a: b\r\n"),
            (b"0\r\nx: ", b"aaaaaaaa"),
            (b"1;", b"a=b;"),
            (b'1;a="', b"bbbbbbbb"),
            (b"", b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n"),
        )
    )
    pieces = (drop * (100_000 // len(drop)),) * rng.choice((1, 10, 40))
    return Case("endless framing", (head, Pause(0.02), start, *pieces), rng.choice((Ending.LISTEN, Ending.RESET)))


def huge_head(rng: Random, target: Target) -> Case:
    """Send a head that nobody needs, complete or without an end."""
    start = target.head("GET", "/livez")[:-2]
    many = b"".join(b"x-%d: %d\r\n" % (n, n) for n in range(rng.choice((200, 1000, 5000))))
    long = b"x: " + b"a" * rng.choice((9_000, 70_000, 300_000)) + b"\r\n"
    path = target.head("GET", "/livez?" + "a" * rng.choice((9_000, 70_000, 300_000)))
    endless = start + b"x: " + b"a" * 300_000
    return Case(
        "huge head", (rng.choice((start + many + b"\r\n", start + long + b"\r\n", path, endless)),), Ending.LISTEN
    )


def cut_off(rng: Random, target: Target) -> Case:
    """Stop in the middle of a request."""
    request = target.post("/api/orders/execute", encoded(userWallet="hostile"))
    cut = request[: rng.randrange(1, len(request))]
    return Case("cut off", (cut,), rng.choice((Ending.LISTEN, Ending.HALF_CLOSE, Ending.RESET)))


def pipelined(rng: Random, target: Target) -> Case:
    """Send many requests at once, and rubbish behind them."""
    requests = [
        rng.choice(
            (target.head("GET", "/livez"), target.post("/api/orders", encoded()), target.head("GET", "/nowhere"))
        )
        for _ in range(rng.randint(2, 30))
    ]
    if rng.random() < 0.5:
        requests.append(noise(rng) + b"\r\n\r\n")
    return Case("pipelined", (b"".join(requests),), rng.choice((Ending.WAIT, Ending.RESET)))


def dribbled(rng: Random, target: Target) -> Case:
    """Send a request in tiny pieces, some of them broken."""
    request = target.post("/api/orders", encoded())
    if rng.random() < 0.5:
        request = flipped_bits(rng, request)
    at = sorted(rng.sample(range(1, len(request)), 6))
    pieces: list[bytes | Pause] = []
    for start, end in zip([0, *at], [*at, len(request)], strict=True):
        pieces += [request[start:end], Pause(0.02)]
    return Case("dribbled", tuple(pieces), Ending.LISTEN)


def foreign(rng: Random, _target: Target) -> Case:
    """Speak another protocol, or none."""
    said = rng.choice((*_FOREIGN, rng.randbytes(rng.randint(1, 5000))))
    return Case("foreign", (said,), rng.choice((Ending.LISTEN, Ending.HALF_CLOSE, Ending.RESET)))


def damaged(rng: Random, target: Target) -> Case:
    """Flip bits of a good request."""
    good = (target.post("/api/orders", encoded()), target.head("GET", f"/api/orders/{rng.choice(target.order_ids)}"))
    return Case("damaged", (flipped_bits(rng, rng.choice(good)),), Ending.LISTEN)


def flipped_bits(rng: Random, data: bytes) -> bytes:
    """Return the bytes with one to four bits flipped."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


FAMILIES: tuple[Family, ...] = (
    request_line,
    header_line,
    hosts,
    method_and_path,
    length,
    smuggling,
    endless_framing,
    huge_head,
    cut_off,
    pipelined,
    dribbled,
    foreign,
    damaged,
)
