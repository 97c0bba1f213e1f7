"""Meters, gateways and what was done to them."""
