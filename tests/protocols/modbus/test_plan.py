"""Which requests are sent for some registers, and what is learned of a meter that refuses them."""

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.fetch import fetch
from protocols.modbus.frame import Decoder
from protocols.modbus.layout import Order, Profile, Register, Type
from protocols.modbus.plan import USUAL, Cost, Read, covering, needed, plan
from protocols.modbus.profile import load
from protocols.modbus.slave import Declined, Fault, Registers, Table, answer

METER = load("eastron_sdm120")


def model(*places: tuple[int, int], largest: int = 125, even: bool = False) -> Profile:
    """A meter of registers r0, r1 … at these addresses and of these lengths; it knows the first 300 addresses."""
    registers = [
        Register(
            name=f"r{number}",
            function=3,
            address=address,
            count=count,
            type=Type.BYTES,
            order=Order.ABCD,
            scale=Decimal(1),
            unit="",
            access="r",
            times=(),
            point=None,
            prefix=None,
            confidence="1",
            sources=(),
            note="",
        )
        for number, (address, count) in enumerate(places)
    ]
    return replace(
        METER,
        registers={one.name: one for one in registers},
        blocks=((0, 300),),
        largest_read=largest,
        even_reads=even,
    )


def every_way(profile: Profile) -> list[tuple[Read, ...]]:
    """All ways to cut the registers, in order of address, into reads that the meter takes."""
    registers = needed(profile, profile.registers)
    inner = range(1, len(registers))
    found = []
    for cuts in itertools.chain.from_iterable(
        itertools.combinations(inner, n) for n in range(len(registers))
    ):
        bounds = itertools.pairwise([0, *cuts, len(registers)])
        parts = [registers[begin:end] for begin, end in bounds]
        reads = tuple(covering(profile, part) for part in parts)
        if all(
            read.count <= profile.largest_read or len(part) == 1
            for read, part in zip(reads, parts, strict=True)
        ):
            found.append(reads)
    return found


PLACES = st.lists(
    st.tuples(st.integers(0, 250), st.integers(1, 4)),
    min_size=1,
    max_size=8,
    unique_by=lambda place: place[0],
)


@given(
    PLACES,
    st.sampled_from([20, 125]),
    st.booleans(),
    st.integers(0, 5000),
    st.integers(0, 300_000),
)
def test_no_other_way_to_read_some_registers_takes_less_of_the_lines_time(
    places: list[tuple[int, int]], largest: int, even: bool, byte_us: int, turn_us: int
):
    profile = model(*places, largest=largest, even=even)
    cost = Cost(byte_us, turn_us)

    def spent(reads: tuple[Read, ...]) -> int:
        return sum(cost.of(read) for read in reads)

    planned = plan(profile, profile.registers, cost=cost)

    assert spent(planned) == min(spent(way) for way in every_way(profile))
    for register in profile.registers.values():
        alone = Read(register.function, register.address, register.count)
        assert any(read.holds(alone) for read in planned)


def test_how_wide_a_gap_is_read_depends_on_the_line():
    # a second request: 13 bytes and 60 ms; at 9600 (1146 µs a byte) 14.9 + 60 = 74.9 ms, as much as 32 registers;
    # at 2400 (4583 µs a byte) 59.6 + 60 = 119.6 ms, as much as 13; over TCP bytes cost nothing
    def is_bridged(gap: int, byte_us: int) -> bool:
        reads = plan(model((0, 2), (2 + gap, 2)), ["r0", "r1"], cost=Cost(byte_us, 60_000))
        return len(reads) == 1

    assert is_bridged(32, 1146)
    assert not is_bridged(33, 1146)
    assert is_bridged(13, 4583)
    assert not is_bridged(14, 4583)
    assert is_bridged(121, 0)


class Meter(Registers):
    """A meter of a profile, with holes in it, that gives at most so many registers at once."""

    def __init__(self, profile: Profile, *, holes: set[int], most: int = 125) -> None:
        super().__init__(1)
        self.holes, self.most = holes, most
        self.asked: list[Read] = []
        self.tables[Table.HOLDING].update({at: at for at in range(300) if at not in holes})

    def read(self, table: Table, address: int, count: int):
        self.asked.append(Read(3, address, count))
        if count > self.most:
            raise Declined(Fault.VALUE)
        return super().read(table, address, count)


@pytest.fixture
def ask(converse):
    def run(meter, profile, refused=frozenset()):
        return converse(
            fetch(1, profile, profile.registers, cost=USUAL, refused=refused),
            decoder=lambda: Decoder(requests=True),
            answer=lambda frame: answer(meter, frame),
        )

    return run


def test_a_hole_that_a_meter_refuses_is_read_around_from_then_on(ask):
    # one read of 0 to 25; 12 is not there
    profile = model((0, 2), (4, 2), (10, 2), (14, 2), (24, 2))
    meter = Meter(profile, holes={12})
    assert plan(profile, profile.registers) == (Read(3, 0, 26),)

    first = ask(meter, profile)
    asked, meter.asked = meter.asked, []
    again = ask(meter, profile, first.refused)

    # cut at the widest gap (16 to 23), then between 4 and 10, then 10 and 14: there both halves are given
    assert asked == [
        Read(3, 0, 26),
        Read(3, 0, 16),
        Read(3, 0, 6),
        Read(3, 10, 6),
        Read(3, 10, 2),
        Read(3, 14, 2),
        Read(3, 24, 2),
    ]
    assert first.refused == {Read(3, 10, 6)}
    assert meter.asked == [Read(3, 0, 12), Read(3, 14, 12)]
    for fetched in (first, again):
        assert all(
            fetched.words[key] == key[1] for r in profile.registers.values() for key in r.keys
        )
    assert again.refused is first.refused


def test_a_register_that_a_meter_has_not_is_missing_and_asked_no_more(ask):
    profile = model((0, 1), (1, 1), (2, 1))
    meter = Meter(profile, holes={1})

    first = ask(meter, profile)
    meter.asked.clear()
    again = ask(meter, profile, first.refused)

    assert Read(3, 1, 1) in first.refused
    assert meter.asked == [Read(3, 0, 1), Read(3, 2, 1)]
    assert set(again.words) == {(3, 0), (3, 2)}


@given(PLACES, st.sets(st.integers(0, 255), max_size=12), st.integers(5, 125))
def test_whatever_a_meter_refuses_all_that_it_has_is_read_and_soon_nothing_is_refused(
    places: list[tuple[int, int]], holes: set[int], most: int
):
    profile = model(*places)
    meter = Meter(profile, holes=holes, most=most)
    there = {
        name
        for name, one in profile.registers.items()
        if not holes & set(range(one.address, one.address + one.count))
    }
    refused: frozenset[Read] = frozenset()
    for _ in range(len(places) + 1):
        fetched = run(meter, profile, refused)
        for name, one in profile.registers.items():
            assert all(key in fetched.words for key in one.keys) or name not in there
        if fetched.refused == refused:
            break
        refused = fetched.refused

    meter.asked.clear()
    run(meter, profile, refused)
    assert not [read for read in meter.asked if is_refused(meter, read)]


def run(meter: Meter, profile: Profile, refused: frozenset[Read]):
    exchange = fetch(1, profile, profile.registers, cost=USUAL, refused=refused)
    try:
        request = next(exchange)  # nothing is asked of a meter that is known to have nothing
        while True:
            (frame,) = Decoder(requests=True).feed(request)
            reply = answer(meter, frame)
            assert reply is not None
            request = exchange.send(reply)
    except StopIteration as end:
        return end.value


def is_refused(meter: Meter, read: Read) -> bool:
    inside = set(range(read.address, read.address + read.count))
    return read.count > meter.most or bool(inside & meter.holes)


def test_what_is_refused_is_not_asked_within_a_longer_read():
    profile = model((0, 2), (2, 2), (4, 2))
    refused = frozenset({Read(3, 2, 4)})

    assert plan(profile, profile.registers, refused=refused) == (Read(3, 0, 4), Read(3, 4, 2))
    assert not Read(3, 0, 4).holds(Read(4, 0, 4))


def test_a_meter_that_has_nothing_gives_nothing(ask):
    profile = model((0, 1), (8, 1))
    fetched = ask(Meter(profile, holes=set(range(300))), profile)

    assert not fetched.words
    assert fetched.refused == {Read(3, 0, 1), Read(3, 8, 1)}
    assert plan(profile, profile.registers, refused=fetched.refused) == ()
