"""`python -m wattwell` is the `wattwell` command."""

from __future__ import annotations

import sys


def main() -> None:
    """The command, which a Ctrl-C ends quietly even while it is still being loaded."""
    try:
        from wattwell import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
