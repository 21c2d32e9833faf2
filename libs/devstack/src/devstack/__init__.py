"""The whole system on one machine, without Docker."""

__version__ = "0.5.0"
