"""`python -m kdlib` is the command `kdlib`."""

from .cli import main

main()
