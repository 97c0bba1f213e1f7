"""Pages for setting an installation up and looking after it."""
