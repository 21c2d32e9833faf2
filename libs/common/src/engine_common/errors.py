"""What can go wrong with an order; whether it may be tried again is a property of the error.

EngineError
├── Unreachable          no answer from a venue or the chain: wait, nothing is decided
├── Verdict              an attempt has ended
│   ├── NoLiquidity          the amount is beyond the depth of every venue (final)
│   │   ├── UnknownPair          no venue trades the pair (final)
│   │   └── AmountTooSmall       every venue would pay nothing for the amount (final)
│   ├── SlippageExceeded     the best output is below the minimum output, quoted or landed (retryable)
│   ├── SwapFailed           the swap landed with the venue's transient error (retryable)
│   ├── TransactionExpired   it provably never lands (retryable)
│   ├── UnexpectedError      a bug of ours before anything was sent (retryable)
│   ├── SwapRejected         the swap landed with any other error (final)
│   └── DexUnavailable       the venues stayed unreachable beyond the patience (final)
└── StoreError
    ├── StoreRefused         a row was refused for what it holds; nothing of it was written
    ├── StoreUnavailable     nothing was written
    └── OutcomeUnknown       sent, and no answer came: it may have been written
"""

from typing import ClassVar

_LONGEST_REASON = 500


def one_line(text: str) -> str:
    """Return foreign text as an order may keep it: one line, bounded, printable (PostgreSQL knows no NUL)."""
    return "".join(character if character.isprintable() else " " for character in text[:_LONGEST_REASON])


class EngineError(Exception):
    """Base of every error that the engine itself raises."""


class Unreachable(EngineError):
    """A venue or the chain gave no usable answer; the outcome of the request is unknown.

    `retry_after_s`: how long it asked to be left alone, if it did.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Verdict(EngineError):
    """An attempt has ended without a confirmed swap."""

    code: ClassVar[str]
    retryable: ClassVar[bool]
    advice: ClassVar[str]
    """What a client does whose order failed with it; the docstring says what happened. Both stand in the reference."""

    @property
    def reason(self) -> str:
        """The sentence that is kept as the order's or the retry's reason."""
        return one_line(str(self))


class NoLiquidity(Verdict):
    """No venue has a pool that is deep enough for the order."""

    code = "no_liquidity"
    retryable = False
    advice = "Place a smaller order, or several small ones over time."


class UnknownPair(NoLiquidity):
    """No venue has a pool for the pair of tokens."""

    code = "unknown_pair"
    advice = "Choose another pair of tokens. The same order fails again until a venue lists the pair."


class AmountTooSmall(NoLiquidity):
    """The amount is so small that no venue would pay a base unit for it."""

    code = "amount_too_small"
    advice = "Place an order with a larger `amountIn`."


class SlippageExceeded(Verdict):
    """The output would be, or on the chain was, below the order's minimum output."""

    code = "slippage_exceeded"
    retryable = True
    advice = "Place a new order with a higher `slippageBps` or a lower `minAmountOut`, or wait for a calmer market."


class SwapFailed(Verdict):
    """The swap landed with the venue's transient failure; nothing was exchanged."""

    code = "swap_failed"
    retryable = True
    advice = "Place a new order. Nothing was exchanged."


class TransactionExpired(Verdict):
    """The transaction's block height passed and a history search proved that it never landed."""

    code = "transaction_expired"
    retryable = True
    advice = "Place a new order. The transaction can never land any more."


class UnexpectedError(Verdict):
    """A handler failed unexpectedly, before anything was sent."""

    code = "unexpected_error"
    retryable = True
    advice = "Place a new order. If it happens again, report the order's `traceId` to the operator."


class SwapRejected(Verdict):
    """The swap landed with an error that trying again would only repeat."""

    code = "swap_rejected"
    retryable = False
    advice = "Do not repeat the order unchanged: read `errorReason`, then correct the order or ask the operator."


class DexUnavailable(Verdict):
    """Venues and chain stayed unreachable for longer than the engine's patience."""

    code = "dex_unavailable"
    retryable = False
    advice = "Wait a minute, then place a new order. The operator sees the outage of the venues or the node."


def verdicts() -> list[type[Verdict]]:
    """Return every kind of verdict, each with a code of its own."""
    found: list[type[Verdict]] = []
    waiting = Verdict.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


class StoreError(EngineError):
    """PostgreSQL did not do what was asked."""


class StoreRefused(StoreError):
    """PostgreSQL refused a row for what it holds: a constraint, a trigger or a value it cannot keep."""


class StoreUnavailable(StoreError):
    """PostgreSQL could not be asked; nothing was written."""


class OutcomeUnknown(StoreError):
    """A statement was sent and no answer came in time; it may or may not have been committed."""
