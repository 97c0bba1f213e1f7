"""Readings: where they are kept, and what they come to when they are rated again."""
