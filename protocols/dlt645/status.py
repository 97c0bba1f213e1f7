"""The status words 运行状态字 of a DL/T 645 meter bit by bit, as data, in English and Chinese.

Of 2007: words 1 to 7 (04000501 to 04000507), two bytes each. Of 1997: meter status C020, grid status C021
and weekly rest word C022, one byte each. Bits that no source explains are left out; where the filings of
2009 and 2013 differ, both meanings are said.
"""

from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """What some bits of a word say."""

    english: str
    chinese: str


Bits = tuple[int, int, dict[int, Meaning]]
"""Lowest bit, number of bits, and what each value means; a value that is usual is not said."""


def _set(bit: int, english: str, chinese: str) -> Bits:
    return bit, 1, {1: Meaning(english, chinese)}


def _phases(first: int, kind: str, chinese: str) -> tuple[Bits, ...]:
    return tuple(
        _set(first + at, f"{kind} power of phase {phase} reverse", f"{phase}相{chinese}功率反向")
        for at, phase in enumerate("ABC")
    )


_PHASE: Final = (
    _set(0, "voltage loss", "失压"),
    _set(1, "under-voltage", "欠压"),
    _set(2, "over-voltage", "过压"),
    _set(3, "current loss", "失流"),
    _set(4, "over-current", "过流"),
    _set(5, "overload", "过载"),
    _set(6, "power reverse", "功率反向"),
    _set(7, "phase break", "断相"),
    _set(8, "current break", "断流"),
)

WORDS: Final[dict[str, tuple[Bits, ...]]] = {
    "status word 1": (
        _set(1, "demand by intervals", "需量按区间"),
        _set(2, "clock battery low", "时钟电池欠压"),
        _set(3, "outage-reading battery low", "停电抄表电池欠压"),
        _set(4, "active power reverse", "有功功率反向"),
        _set(5, "reactive power reverse", "无功功率反向"),
        _set(8, "control loop fault", "控制回路错误"),
        _set(9, "ESAM fault", "ESAM错误"),
        _set(12, "internal program fault", "内部程序错误"),
        _set(13, "memory fault", "存储器故障"),
        _set(14, "overdraft", "透支"),
        _set(15, "clock fault", "时钟故障"),
    ),
    "status word 2": (*_phases(0, "active", "有功"), *_phases(4, "reactive", "无功")),
    "status word 3": (
        _set(0, "second set of day periods", "第二套时段"),
        (
            1,
            2,
            {
                1: Meaning("auxiliary supply", "辅助电源供电"),
                2: Meaning("battery supply", "电池供电"),
            },
        ),
        _set(3, "programming allowed", "编程允许"),
        (4, 1, {0: Meaning("contact closed", "继电器通"), 1: Meaning("contact open", "继电器断")}),
        _set(5, "second set of year zones", "第二套时区"),
        (
            6,
            1,
            {
                0: Meaning("last command close", "命令合闸"),
                1: Meaning("last command open", "命令跳闸"),
            },
        ),
        _set(7, "alarm before a trip", "预跳闸报警"),
        (
            8,
            2,
            {
                1: Meaning("prepaid by energy", "电量型预付费"),
                2: Meaning("prepaid by money", "电费型预付费"),
            },
        ),
        _set(
            10,
            "second set of prices (2009) or terminal identity authenticated (2013)",
            "第二套费率电价或终端身份认证",
        ),
        _set(
            11,
            "second set of steps (2009) or terminal security authenticated (2013)",
            "第二套阶梯或终端安全认证",
        ),
        _set(12, "keep power", "保电"),
        _set(13, "identity authentication valid", "身份认证有效"),
        _set(14, "local account not opened", "本地未开户"),
        _set(15, "remote account not opened", "远程未开户"),
    ),
    "status word 4": _PHASE,
    "status word 5": _PHASE,
    "status word 6": _PHASE,
    "status word 7": (
        _set(0, "voltage phase order reversed", "电压逆相序"),
        _set(1, "current phase order reversed", "电流逆相序"),
        _set(2, "voltage unbalance", "电压不平衡"),
        _set(3, "current unbalance", "电流不平衡"),
        _set(4, "auxiliary supply lost", "辅助电源失电"),
        _set(5, "power down", "掉电"),
        _set(6, "demand limit exceeded", "需量超限"),
        _set(7, "total power factor below its limit", "总功率因数超下限"),
    ),
    "meter status": (
        _set(0, "manual reading", "手动抄表"),
        _set(1, "demand by intervals", "需量按区间"),
        _set(2, "battery low", "电池欠压"),
        _set(4, "active power reverse", "有功功率反向"),
        _set(5, "reactive power reverse", "无功功率反向"),
    ),
    "grid status": (
        *(_set(at, f"phase {phase} cut", f"{phase}相断电") for at, phase in enumerate("ABC")),
        *(
            _set(4 + at, f"phase {phase} over-voltage", f"{phase}相过压")
            for at, phase in enumerate("ABC")
        ),
    ),
    "weekly rest word": tuple(
        (at, 1, {0: Meaning(f"{english} is a rest day", f"{chinese}休息")})
        for at, (english, chinese) in enumerate(
            (
                ("Sunday", "周日"),
                ("Monday", "周一"),
                ("Tuesday", "周二"),
                ("Wednesday", "周三"),
                ("Thursday", "周四"),
                ("Friday", "周五"),
                ("Saturday", "周六"),
            )
        )
    ),
}
"""By the name of the item, as `items` and `items97` give it."""


def meanings(name: str, word: int) -> tuple[Meaning, ...]:
    """What a status word says, lowest bit first; nothing for an item that is none."""
    said = (
        named.get(word >> first & (1 << width) - 1) for first, width, named in WORDS.get(name, ())
    )
    return tuple(meaning for meaning in said if meaning is not None)
