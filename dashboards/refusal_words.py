"""What a gateway says of a decision that it could not book, in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from dashboards import sentences
from dashboards.words import N_

REFUSALS = (
    (
        r"the closing reading is of meter (\S+), but (\S+) was charged",
        N_("The closing reading is of meter {0}, but {1} was charged."),
    ),
    (
        r"the meter was charged at (.+), closed at (.+) and the next opened at (.+): these must follow each other",
        N_(
            "The meter was charged at {0}, closed at {1}, the next one opened at {2}. These must follow each other."
        ),
    ),
    (
        r"what was used without a meter cannot be (\S+)",
        N_("What was used without a meter cannot be {0}."),
    ),
    (
        r"(\S+) is of meter (\S+), not of (\S+); if that is the new meter, enter the change with the closing and"
        r" opening readings",
        N_(
            "{0} is of meter {1}, not of {2}. If that is the new meter, enter the change with the closing and"
            " opening readings."
        ),
    ),
    (
        r"the register was charged at (.+) and in doubt at (.+); it cannot have been reset at (.+)",
        N_(
            "The register was charged at {0} and in doubt at {1}, so it cannot have been reset at {2}."
        ),
    ),
    (
        r"a register of (\d+) digits cannot show (\S+)",
        N_("A register of {0} digits cannot show {1}."),
    ),
    (
        r"the register shows (\S+), so it cannot have been set to (\S+)",
        N_("The register shows {0}, so it cannot have been set to {1}."),
    ),
    (
        r"the time since the register last moved is estimated already",
        N_("The time since the register last moved is estimated already."),
    ),
    (
        r"nothing is known of the usual usage: that takes (.+) of readings; enter the quantity",
        N_("The usual usage is not known yet, as there are too few readings. Enter the quantity."),
    ),
    (r"an estimate cannot be (\S+)", N_("An estimate cannot be {0}.")),
    (r"a register does not go round (\S+) times", N_("A register does not go round {0} times.")),
    (
        r"(\S+) is less than (\S+), which is charged: say that the register went round, that it was reset or that"
        r" the meter was changed",
        N_(
            "{0} is less than {1}, which is charged. Say that the register went round, that it was reset or that"
            " the meter was changed."
        ),
    ),
    (
        r"tariff (.+) is not at the gateway: nothing can be charged",
        N_("The gateway does not have tariff {0} yet, so nothing can be charged."),
    ),
    (
        r"since that reading of (\S+) another, (\S+), was charged at (.+)",
        N_("Since that reading of {0} another, {1}, was charged at {2}."),
    ),
    (
        r"nothing was charged here yet, so there is nothing to go on from",
        N_("Nothing was charged here yet, so there is nothing to go on from."),
    ),
    (
        r"it does not say which reading it is about",
        N_("It is not said which reading this is about. Decide anew."),
    ),
)
UNKNOWN = N_("The gateway gives a reason that this version does not know: {0}")


def said(refused: str, say: Callable[[str], str]) -> str:
    """The refusal in the language of say; one that a newer gateway gives, as it is."""
    for pattern, words in REFUSALS:
        if found := re.fullmatch(pattern, refused):
            return say(words).format(*map(_shown, found.groups()))
    return say(UNKNOWN).format(refused)


def _shown(value: str) -> str:
    """An instant as people write it, all else as it is."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return value if at.tzinfo is None else sentences.moment(at)
