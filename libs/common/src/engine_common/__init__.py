"""What the order engine's services share: the order contract, the store, the queue and telemetry."""

__version__ = "0.5.0"
