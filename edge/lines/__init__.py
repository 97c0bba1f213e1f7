"""The lines: one exchange at a time on each, whose turn it is, and when a point is read next."""
