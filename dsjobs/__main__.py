"""`python -m dsjobs` is the same as `dsjobs`."""

from dsjobs.cli import main

main()
