"""Event records 事件记录 of DL/T 645-2007: what the identifiers of class 03, and of the classes
10 to 1F of the later filings, stand for."""

from protocols.dlt645.fields import Field, Item, digits, number, time, word

RECORDS = 10
PHASES = {1: "A", 2: "B", 3: "C"}


def find(di2: int, di1: int, di0: int) -> Item | None:
    """The item under 03 DI2 DI1 DI0, or None."""
    if di2 == 0x30:
        return _programming(di1, di0)
    if di2 in (0x32, 0x33):
        return _purchase(di2, di1, di0)
    if di2 == 0x10:
        return _voltage_quality(di1, di0)
    if di0 > RECORDS:
        return None
    if di2 in PHASE_EVENTS:
        name, layout = PHASE_EVENTS[di2]
        if di1 == di0 == 0:
            return Item(tuple(f for phase in "ABC" for f in _count(f"phase {phase} {name}")))
        return Item(layout) if di1 in PHASES and di0 else None
    if di2 == 0x12:
        return _demand_limit(di1, di0)
    if di2 in METER_EVENTS and di1 == 0:
        name, layout = METER_EVENTS[di2]
        if di0:
            return Item(layout)
        counters = _count(name)
        return Item(counters[:1] if name == "power-down" else counters)
    return None


def _count(name: str) -> tuple[Field, Field]:
    return (number(f"{name} count", 3, 0, "times"), number(f"{name} time", 3, 0, "min"))


START_END = (time("start", "YYMMDDhhmmss"), time("end", "YYMMDDhhmmss"))
ENERGIES = (
    ("forward active energy", "kWh"),
    ("reverse active energy", "kWh"),
    ("combined reactive 1 energy", "kvarh"),
    ("combined reactive 2 energy", "kvarh"),
)
WHOLES = ("total", "A", "B", "C")


def _increments(whole: str) -> tuple[Field, ...]:
    return tuple(number(f"{name} increment {whole}", 4, 2, unit) for name, unit in ENERGIES)


def _phase(phase: str) -> tuple[Field, ...]:
    return (
        *_increments(phase),
        number(f"voltage {phase}", 2, 1, "V"),
        number(f"current {phase}", 3, 3, "A", signed=True),
        number(f"active power {phase}", 3, 4, "kW", signed=True),
        number(f"reactive power {phase}", 3, 4, "kvar", signed=True),
        number(f"power factor {phase}", 2, 3, signed=True),
    )


CURRENT_RECORD = (
    *START_END,
    *_increments("total"),
    *_phase("A"),
    *_phase("B"),
    *_phase("C"),
)
VOLTAGE_RECORD = (
    *CURRENT_RECORD,
    *(number(f"ampere-hours {whole}", 4, 2, "Ah") for whole in WHOLES),
)
ENERGY_RECORD = (*START_END, *(field for whole in WHOLES for field in _increments(whole)))
UNBALANCE_RECORD = (*START_END, number("worst unbalance", 2, 2, "%"), *ENERGY_RECORD[2:])

PHASE_EVENTS = {
    0x01: ("voltage loss", VOLTAGE_RECORD),
    0x02: ("under-voltage", VOLTAGE_RECORD),
    0x03: ("over-voltage", VOLTAGE_RECORD),
    0x04: ("phase break", VOLTAGE_RECORD),
    0x0B: ("current loss", CURRENT_RECORD),
    0x0C: ("over-current", CURRENT_RECORD),
    0x0D: ("current break", CURRENT_RECORD),
    0x0E: ("reverse power", ENERGY_RECORD),
    0x0F: ("overload", ENERGY_RECORD),
}
METER_EVENTS = {
    0x05: (
        "all-phase loss",
        (START_END[0], number("current", 3, 3, "A", signed=True), START_END[1]),
    ),
    0x06: ("auxiliary supply loss", START_END),
    0x07: ("voltage phase order reversed", ENERGY_RECORD),
    0x08: ("current phase order reversed", ENERGY_RECORD),
    0x09: ("voltage unbalance", UNBALANCE_RECORD),
    0x0A: ("current unbalance", UNBALANCE_RECORD),
    0x11: ("power-down", START_END),
}


def _voltage_quality(phase: int, month: int) -> Item | None:
    """The month's voltage quality 电压合格率; month 0 is the present one, 1..12 before."""
    if month > 12 or (phase and phase not in PHASES):
        return None
    return Item(
        (
            number("monitored time", 3, 0, "min"),
            number("in range", 3, 2, "%"),
            number("out of range", 3, 2, "%"),
            number("time over limit", 3, 0, "min"),
            number("time under limit", 3, 0, "min"),
            number("highest voltage", 2, 1, "V"),
            time("highest occurred", "MMDDhhmm"),
            number("lowest voltage", 2, 1, "V"),
            time("lowest occurred", "MMDDhhmm"),
        )
    )


DEMANDS = (
    ("forward active", "kW"),
    ("reverse active", "kW"),
    ("Q1 reactive", "kvar"),
    ("Q2 reactive", "kvar"),
    ("Q3 reactive", "kvar"),
    ("Q4 reactive", "kvar"),
)


def _demand_limit(which: int, record: int) -> Item | None:
    if which == record == 0:
        return Item(
            tuple(number(f"{name} demand over limit count", 3, 0, "times") for name, _ in DEMANDS)
        )
    if not (1 <= which <= len(DEMANDS) and record):
        return None
    name, unit = DEMANDS[which - 1]
    # The printed format of the time and the printed length disagree; 5 bytes fit the length.
    return Item(
        (*START_END, number(f"{name} max demand", 3, 4, unit), time("occurred", "YYMMDDhhmm"))
    )


TIME_OPERATOR = (time("time", "YYMMDDhhmmss"), digits("operator", 4))
QUADRANTS = tuple((f"Q{q} reactive", "kvar") for q in (1, 2, 3, 4))
CLEARED = tuple(
    (f"{prefix}{name}", unit)
    for prefix in ("", "phase A ", "phase B ", "phase C ")
    for name, unit in (*DEMANDS[:2], *QUADRANTS)
)


def _cover(name: str) -> tuple[Field, ...]:
    return (
        *START_END,
        *(
            number(f"{direction} energy {when}", 4, 2, f"{unit}h")
            for when in ("before", "after")
            for direction, unit in DEMANDS
        ),
    )


def _table_entry(name: str, layout: str, last: str) -> tuple[Field, Field]:
    """One printed entry as MMDDNN; on the line NN comes first."""
    return (number(last, 1), time(name, layout))


PROGRAMMING = {
    # DI1: name of the counter, what a record holds
    0x00: (
        "programming",
        (*TIME_OPERATOR, *(word(f"identifier {n}", 4) for n in range(1, 11))),
    ),
    0x01: (
        "meter clear",
        (*TIME_OPERATOR, *(number(f"{name} energy", 4, 2, f"{unit}h") for name, unit in CLEARED)),
    ),
    0x02: (
        "demand reset",
        (
            *TIME_OPERATOR,
            *(
                field
                for name, unit in CLEARED
                for field in (
                    number(f"{name} max demand", 3, 4, unit),
                    time("occurred", "YYMMDDhhmm"),
                )
            ),
        ),
    ),
    0x03: ("event clear", (*TIME_OPERATOR, word("identifier", 4))),
    0x04: (
        "time set",
        (
            TIME_OPERATOR[1],
            time("time before", "YYMMDDhhmmss"),
            time("time after", "YYMMDDhhmmss"),
        ),
    ),
    0x05: (
        "day table programming",
        (
            *TIME_OPERATOR,
            *(
                field
                for table in range(1, 17)
                for n in range(1, 15)
                for field in _table_entry(f"day table {table} period {n}", "hhmm", "tariff")
            ),
        ),
    ),
    0x06: (
        "year zone programming",
        (
            *TIME_OPERATOR,
            *(f for n in range(1, 29) for f in _table_entry(f"year zone {n}", "MMDD", "day table")),
        ),
    ),
    0x07: ("weekly rest day programming", (*TIME_OPERATOR, word("weekly rest word", 1))),
    0x08: (
        "holiday programming",
        (
            *TIME_OPERATOR,
            *(
                f
                for n in range(1, 255)
                for f in _table_entry(f"holiday {n}", "YYMMDD", "day table")
            ),
        ),
    ),
    0x09: ("combined active programming", (*TIME_OPERATOR, word("feature", 1))),
    0x0A: ("combined reactive 1 programming", (*TIME_OPERATOR, word("feature", 1))),
    0x0B: ("combined reactive 2 programming", (*TIME_OPERATOR, word("feature", 1))),
    0x0C: (
        "settlement day programming",
        (*TIME_OPERATOR, *(time(f"settlement day {n}", "DDhh") for n in (1, 2, 3))),
    ),
    0x0D: ("cover-open", _cover("cover")),
    0x0E: ("terminal cover-open", _cover("terminal cover")),
}


def _programming(which: int, record: int) -> Item | None:
    if record > RECORDS or (which not in PROGRAMMING and (which, record) != (0x12, 0)):
        return None
    if record == 0:
        name = PROGRAMMING[which][0] if which in PROGRAMMING else "key update"
        return Item((number(f"{name} count", 3, 0, "times"),))
    return Item(PROGRAMMING[which][1])


def _purchase(di2: int, which: int, record: int) -> Item | None:
    """Purchases 购电记录: 0332 of energy, 0333 of money."""
    if not (1 <= record <= RECORDS and 1 <= which <= 6):
        return None
    what, unit = ("energy", "kWh") if di2 == 0x32 else ("amount", "CNY")
    fields = (
        time("purchase time", "YYMMDDhhmm"),
        number("purchase count", 2, 0, "times"),
        number(f"purchased {what}", 4, 2, unit),
        number(f"{what} before purchase", 4, 2, unit),
        number(f"{what} after purchase", 4, 2, unit),
        number(f"cumulative purchased {what}", 4, 2, unit),
    )
    return Item((fields[which - 1],))


SINGLE_EVENTS = {
    0x10: "voltage loss",
    0x11: "under-voltage",
    0x12: "over-voltage",
    0x13: "phase break",
    0x14: "voltage phase order reversed",
    0x15: "current phase order reversed",
    0x16: "voltage unbalance",
    0x17: "current unbalance",
    0x18: "current loss",
    0x19: "over-current",
    0x1A: "current break",
    0x1B: "reverse power",
    0x1C: "overload",
    0x1F: "power factor low",
}


def find_single(di3: int, di2: int, di1: int, di0: int) -> Item | None:
    """One item of one event record: class 10..1F, phase, item, and how many records back."""
    if di3 in (0x1D, 0x1E):
        return _switching("trip" if di3 == 0x1D else "close", di2, di1, di0)
    if di3 not in SINGLE_EVENTS or di2 > 3:
        return None
    name = SINGLE_EVENTS[di3] if di2 == 0 else f"phase {PHASES[di2]} {SINGLE_EVENTS[di3]}"
    if di1 == 0:
        return Item((_count(name)[di0 - 1],)) if di0 in (1, 2) else None
    if di1 not in SINGLE_FIELDS or not (1 <= di0 <= RECORDS or di0 == 0xFF):
        return None
    return Item((SINGLE_FIELDS[di1],) * (RECORDS if di0 == 0xFF else 1), step=int(di0 == 0xFF))


def _single_fields() -> dict[int, Field]:
    fields = {0x01: START_END[0], 0x25: START_END[1]}
    for at, whole in enumerate(WHOLES):
        # The energies of each phase stand before its voltage, except that A's begin at 06.
        first = (0x02, 0x06, 0x0F, 0x18)[at]
        for n, (name, unit) in enumerate(ENERGIES):
            fields[first + n] = number(f"{name} {whole} at start", 4, 2, unit)
            fields[0x26 + 4 * at + n] = number(f"{name} {whole} at end", 4, 2, unit)
        fields[0x21 + at] = number(f"ampere-hours {whole}", 4, 2, "Ah")
        if at:
            for n, field in enumerate(_phase(whole)[4:]):
                fields[first + 4 + n] = field
    return fields


SINGLE_FIELDS = _single_fields()


def _switching(what: str, di2: int, di1: int, di0: int) -> Item | None:
    """Records of trips and closes 跳合闸记录."""
    if di2 or not 1 <= di0 <= RECORDS:
        return None
    if di1 == 0:
        return Item((number(f"{what} count", 3, 0, "times"),)) if di0 == 1 else None
    fields = (
        time(f"{what} time", "YYMMDDhhmmss"),
        digits("operator", 4),
        *(number(f"{name} energy total", 4, 2, f"{unit}h") for name, unit in DEMANDS),
    )
    return Item((fields[di1 - 1],)) if di1 <= len(fields) else None
