"""The `wattwell` command: starts and composes the programs of the other packages."""
