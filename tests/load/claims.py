"""What a client holds against the engine: the orders that it was told are accepted."""

from dataclasses import dataclass


@dataclass
class Claim:
    """What the client knows of an order that it was told is accepted."""

    key: str
    order_id: str
    accepted_at: float
    cancelled: bool = False
    """whether the api said that it is cancelled"""
    cancel_kept: bool = False
    """whether the api said that the request to cancel it is kept"""
    trace_id: str = ""
