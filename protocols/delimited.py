"""Frames between 68H and 16H with their sum before the end, as DL/T 645 and CJ/T 188 have them."""

START = 0x68
END = 0x16
PREAMBLE = 0xFE
REPLY = 0x80


class Tail:
    """The end of what a line has sent: bytes from the first 68H on whose frame may become whole.

    `length_at` is the place of the byte L in a frame, and the data starts behind it; `again_at` is
    the place of a second 68H, where the frame has one.
    """

    def __init__(self, *, length_at: int, again_at: int = 0) -> None:
        self._length_at = length_at
        self._again_at = again_at
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> list[bytes]:
        """The good frames that end in `data`, in order, from their 68H to their 16H.

        Every 68H is tried as a start by itself, so a frame is found when its last byte arrives,
        whatever before it or around it also looked like one: a false start never makes a good frame
        wait, and never swallows it. Bytes inside a frame that look like a frame themselves are left
        out where the outer one is whole; they are delivered where its end has not arrived yet.
        How the stream is cut makes no other difference.
        """
        tail = self._bytes
        length_at, again_at = self._length_at, self._again_at
        last = len(tail)
        tail += data
        size = len(tail)
        keep = size
        found = []
        start = tail.find(START)
        while start >= 0:
            if start + again_at >= size or tail[start + again_at] == START:
                at = start + length_at
                end = at + 3 + tail[at] if at < size else size + 1
                if end > size:
                    keep = min(keep, start)
                elif end > last and is_good(tail, start, end):
                    found.append(bytes(tail[start:end]))
                    last = end
            start = tail.find(START, start + 1)
        del tail[:keep]
        return found


def is_good(data: bytes | bytearray, start: int, end: int) -> bool:
    """Whether the bytes from start to end close with 16H behind the sum of all before it, modulo 256."""
    return data[end - 1] == END and sum(data[start : end - 2]) & 0xFF == data[end - 2]
