"""Entry point of `python -m kindstack`."""

from kindstack.cli import main

main()
