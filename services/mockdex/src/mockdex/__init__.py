"""A mock of two DEX venues and of the chain beneath them."""

__version__ = "0.5.0"
