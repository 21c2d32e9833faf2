"""Raydium, the constant-product venue."""

from engine_worker.dex.http_venue import HttpVenue


class Raydium(HttpVenue):
    """Quotes from Raydium's AMM v4 pools."""

    name = "raydium"
    program_id = "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8"
