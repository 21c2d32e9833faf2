"""The venues: a third one is a module beside these and its name in the tuple."""

from importlib import import_module

from mockdex.curves.book import AmountTooSmall, Book, Curve, Depth, Fill, InsufficientLiquidity, Venue

VENUES: tuple[Venue, ...] = tuple(import_module(f"{__name__}.{module}").VENUE for module in ("raydium", "meteora"))

__all__ = ["VENUES", "AmountTooSmall", "Book", "Curve", "Depth", "Fill", "InsufficientLiquidity", "Venue"]
