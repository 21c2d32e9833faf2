"""Adapters to the venues and the chain; a further venue is one file here and one line in `VENUES`."""

from collections.abc import Sequence

from engine_worker.dex.http_venue import HttpVenue
from engine_worker.dex.meteora import Meteora
from engine_worker.dex.raydium import Raydium

# In order of precedence: of equal outputs the first one's wins.
VENUES: Sequence[type[HttpVenue]] = (Raydium, Meteora)
