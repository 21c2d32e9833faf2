"""Runs the benchmarks: `python -m benchmarks`."""

from benchmarks.cli import main

main()
