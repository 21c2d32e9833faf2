"""The REST and WebSocket interface of the order engine."""

__version__ = "0.5.0"
