"""The venues: a third one is a module beside these and its name in the tuple."""

from mockdex.curves import meteora, raydium
from mockdex.curves.book import Book, Curve, Depth, Fill, InsufficientLiquidity, Venue

VENUES: tuple[Venue, ...] = (raydium.VENUE, meteora.VENUE)

__all__ = ["VENUES", "Book", "Curve", "Depth", "Fill", "InsufficientLiquidity", "Venue"]
