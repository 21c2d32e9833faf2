"""The requests that are sent: built before the measurement, with varying pairs, amounts and wallets, from one seed."""

import random

import orjson

# Display units of a token: swaps of about 5 to 300 USD, so that no run moves the mock's pools noticeably.
_AMOUNTS = {
    "SOL": (0.05, 2),
    "mSOL": (0.05, 1.5),
    "USDC": (5, 300),
    "USDT": (5, 300),
    "JUP": (10, 400),
    "RAY": (2, 100),
    "BONK": (200_000, 10_000_000),
    "WIF": (5, 250),
    "PYTH": (20, 1_000),
    "JTO": (3, 140),
}
_WALLETS = 200
_STEPS = 1_000  # amounts are multiples of a thousandth: every token has at least five decimals


def build_requests(host: str, port: int, count: int, seed: int, wallet: str | None = None) -> list[bytes]:
    """Return whole HTTP requests that create and queue an order each; `wallet` is that of all of them if given."""
    rng = random.Random(seed)  # noqa: S311 - a load that can be repeated, nothing secret
    return [_request(host, port, _body(rng, wallet)) for _ in range(count)]


def _body(rng: random.Random, wallet: str | None) -> bytes:
    token_in, token_out = rng.sample(list(_AMOUNTS), 2)
    lowest, highest = _AMOUNTS[token_in]
    whole, thousandths = divmod(rng.randint(round(lowest * _STEPS), round(highest * _STEPS)), _STEPS)
    order = {
        "type": "MARKET",
        "tokenIn": token_in,
        "tokenOut": token_out,
        "amountIn": f"{whole}.{thousandths:03d}",
        "slippageBps": 100,
        "userWallet": wallet or f"bench-{rng.randrange(_WALLETS):03d}",
    }
    return orjson.dumps(order)


def _request(host: str, port: int, body: bytes) -> bytes:
    head = (
        f"POST /api/orders/execute HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
