"""Meteora, the venue of discrete liquidity bins."""

from engine_worker.dex.http_venue import HttpVenue


class Meteora(HttpVenue):
    """Quotes from Meteora's DLMM pools."""

    name = "meteora"
    program_id = "LBUZKhRxPF3XUpBcjp4YzTKgLccjZhTSDM9YuVaPwxo"
