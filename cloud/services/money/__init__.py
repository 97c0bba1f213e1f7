"""The office's money: what leaves a purse and is paid out, what is given, shifts, statements, closed months."""
