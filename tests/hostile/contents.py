"""Well-formed HTTP with malformed content: bodies, fields, parameters of every operation, content types."""

import json
from random import Random
from typing import Any
from urllib.parse import quote

from hostile.case import BODY, Case, Ending, Family, Target, encoded
from hostile.operations import Operation
from hostile.samples import BODIES, CONTENT_TYPES, NUMBERS, OTHERS, TEXTS

_CREATING = ("/api/orders", "/api/orders/execute", "/orders")
_LARGEST = 64 * 1024


def body(rng: Random, target: Target) -> Case:
    """Send what is no order."""
    return Case("body", (target.post(rng.choice(_CREATING), rng.choice(BODIES)),))


def field(rng: Random, target: Target) -> Case:
    """Put wrong things into one or two fields of a body."""
    operation = rng.choice([operation for operation in target.operations if operation.fields])
    names = [*operation.fields, "inputToken", "outputToken", "inputAmount", "userId", "unknown", *TEXTS[:12]]
    members = [(name, json.dumps(value)) for name, value in BODY.items()]
    for _ in range(rng.randint(1, 2)):
        name, value = rng.choice(names), _json_value(rng)
        if rng.random() < 0.9:
            members = [member for member in members if member[0] != name]
        members.insert(rng.randint(0, len(members)), (name, value))
    text = "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"
    return Case("field", (target.post(operation.path, text.encode(errors="surrogatepass")),))


def _json_value(rng: Random) -> str:
    return rng.choice(
        (lambda: json.dumps(rng.choice(TEXTS)), lambda: rng.choice(NUMBERS), lambda: rng.choice(OTHERS))
    )()


def parameter(rng: Random, target: Target) -> Case:
    """Put wrong things into the parameters of any operation of the contract."""
    operation = rng.choice(target.operations)
    method = rng.choice((operation.method, operation.method, operation.method, "HEAD", "OPTIONS", "PUT"))
    path, query, headers = _filled(rng, target, operation)
    send = encoded(userWallet="hostile") if operation.fields else b""
    request = (
        target.post(path + query, send, **headers) if method == "POST" else target.head(method, path + query, **headers)
    )
    return Case("parameter", (request,), bodiless=method == "HEAD")


def _filled(rng: Random, target: Target, operation: Operation) -> tuple[str, str, dict[str, str]]:
    path, pairs, headers = operation.path, list[str](), dict[str, str]()
    for one in operation.parameters:
        value = _value(rng, target, one.schema)
        if one.place == "path":
            path = path.replace("{" + one.name + "}", value or "x")
        elif one.place == "header":
            headers[one.name] = "".join(char for char in value if " " <= char <= "\xff")
        elif rng.random() < 0.5:
            pairs += [f"{one.name}={value}"] * rng.choice((1, 1, 1, 2))
    if rng.random() < 0.2:
        pairs.append(rng.choice(("=", "&&", "a", "%", "%ff=%ff", "a[]=1", "a=b;c=d", "limit", "__proto__=1")))
    return path, "?" + "&".join(pairs) if pairs else "", headers


def _value(rng: Random, target: Target, schema: dict[str, Any]) -> str:
    allowed = [str(value) for value in schema.get("enum", ())]
    texts = (*TEXTS, *NUMBERS, *allowed, *[value.upper() for value in allowed], *target.order_ids)
    return quote(rng.choice(texts).encode(errors="surrogatepass"), safe=rng.choice(("", "/", "/:+")))


def content_type(rng: Random, target: Target) -> Case:
    """Call the body something else."""
    return Case(
        "content type", (target.post(rng.choice(_CREATING), encoded(), content_type=rng.choice(CONTENT_TYPES)),)
    )


def injection(rng: Random, target: Target) -> Case:
    """Try to reach an answer's head, a log line or a statement through what is echoed."""
    text = quote(rng.choice(TEXTS).encode(errors="surrogatepass"), safe="")
    path = rng.choice(
        (f"/api/orders/{text}", f"/api/orders/user/{text}", f"/{text}", f"/api/orders?cursor={text}&status={text}")
    )
    headers = {
        "idempotency-key": rng.choice(("%0d%0aa:b", '"', '""', '"""', "a" * 255, "a" * 256, "a" * 5000, "\x1b[31m"))
    }
    return Case("injection", (target.head("GET", path, **headers),))


def oversized(rng: Random, target: Target) -> Case:
    """Send more than an order can be, announced or in chunks, all of it or a part."""
    size = _LARGEST + rng.choice((-200, 1, 1000, 200_000))
    filled = encoded()[:-1] + b" " * (size - len(encoded())) + b"}"
    if rng.random() < 0.5:
        return Case("oversized", (target.post("/api/orders", filled),))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in _parts(filled, 8192)) + b"0\r\n\r\n"
    head = target.head("POST", "/api/orders", content_type="application/json", transfer_encoding="chunked")
    return Case("oversized", (head + chunks,), rng.choice((Ending.WAIT, Ending.RESET)))


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def uninvited_body(rng: Random, target: Target) -> Case:
    """Send a body where none is read, on a connection that goes on."""
    operation = rng.choice([operation for operation in target.operations if not operation.fields])
    path = operation.path.replace("{id}", rng.choice(target.order_ids)).replace("{wallet}", "hostile")
    size = rng.choice((1, 1000, 100_000))
    first = target.head(operation.method, path, content_length=str(size)) + b"x" * size
    return Case("uninvited body", (first + target.head("GET", "/livez"),))


FAMILIES: tuple[Family, ...] = (
    body,
    field,
    field,
    parameter,
    parameter,
    parameter,
    content_type,
    injection,
    oversized,
    uninvited_body,
)
