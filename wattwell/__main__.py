"""`python -m wattwell` is the `wattwell` command."""

from wattwell.cli import main

main()
