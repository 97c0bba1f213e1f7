"""Accounts 户 from opening to closing; and who pays for which service point, since when."""
