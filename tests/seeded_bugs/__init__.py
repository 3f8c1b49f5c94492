"""Bugs made on purpose, each of which the suite must notice: `make seeded-bugs`."""
