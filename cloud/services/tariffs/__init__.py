"""Tariffs: drafted, checked, rehearsed, approved, assigned, delivered."""
