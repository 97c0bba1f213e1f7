"""A register movement, judged: how far it went, what speaks for and against it, and what that does to money.

Two rules meet here. What the meter *can* do in the time (max_per_hour, its digits) is physics: nothing
beyond it is ever charged by itself. What is *usual* is statistics: it may raise a suspicion, and it
decides where physics leaves more than one explanation (a register that went back may have rolled over),
but it never makes an impossible movement possible, and never refuses one that was seen to go forward.

Nothing is dropped: what is not charged is held, and stays between the reading charged last and the next.
`assessment` is where to begin.
"""
