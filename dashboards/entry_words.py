"""What a gateway says of a meter that it cannot ask as it is entered, in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Callable

from dashboards.words import N_

WRONG = (
    (r"gateway\.toml has no line (.+)", N_("The gateway's settings have no line {0}.")),
    (r"there is no driver for (.+)", N_("The gateway does not speak the protocol {0}.")),
    (
        r"(\w+) of meter (\S+) .+",
        N_("“{0}” of meter {1} is missing or wrong."),
    ),
    (
        r"meter (\S+) \(.+\) does not say by which ratios to multiply: .+",
        N_(
            "Meter {0} does not say its ratios: enter “pt” and “ct”, both 1 where it is connected directly."
        ),
    ),
    (
        r"meter (\S+) would be multiplied twice: by PT (\S+) and CT (\S+), and by its multiplier (.+); .+",
        N_("Meter {0} would be multiplied twice: by PT {1} and CT {2}, and by its multiplier {3}."),
    ),
    (
        r"meter (\S+) \(.+\) counts (\d+) rates by number alone: .+",
        N_("Meter {0} counts {1} rates by number alone: enter “bands”, the tariff's band of each."),
    ),
    (
        r"meter (\S+) .*\bno close permit\b.+",
        N_(
            "Meter {0} can only be closed directly: where the site has consented, say so of its point."
        ),
    ),
    (
        r"(?:no command to go \w+ is known for meter (\S+) .+|meter (\S+) speaks .+ has no command to switch: .+)",
        N_("Meter {0} cannot be switched by the gateway: enter that it has no switch."),
    ),
)


SETTINGS = {
    "password": N_("password"),
    "level": N_("level"),
    "operator": N_("operator code"),
    "address": N_("address"),
}
"""What a setting is called in the form where it is entered."""


def said(text: str, say: Callable[[str], str]) -> str:
    """The sentence in the language of say; one that a newer gateway says, as it is."""
    for pattern, words in WRONG:
        if found := re.fullmatch(pattern, text):
            named = (value for value in found.groups() if value is not None)
            return say(words).format(*(say(SETTINGS.get(value, value)) for value in named))
    return text
