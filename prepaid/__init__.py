"""The rules of prepaid supply: money, rating, supply and ledger. Pure: no I/O, and the clock is an argument."""
