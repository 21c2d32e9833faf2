"""`PYTHONPATH=tests python -m hostile`; `make hostile` does it."""

from hostile.cli import main

main()
