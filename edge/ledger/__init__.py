"""The gateway's ledger: one SQLite file, how it lasts, and how it is made anew."""
