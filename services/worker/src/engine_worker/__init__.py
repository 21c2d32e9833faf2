"""Executes orders: routes, swaps and confirms them."""

__version__ = "0.5.0"
