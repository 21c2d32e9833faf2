"""Measures the whole system under load: speed, latency, memory and CPU per order, with an audit after every run."""
