"""`python -m service.cli`: the same as `betalbar`."""

from service.cli.program import main

main()
