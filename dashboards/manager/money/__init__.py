"""The manager's pages of money."""
