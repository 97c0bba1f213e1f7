"""How far a top-up has come, in the four stages a resident follows: 已支付 → 已入账 → 已下发 → 已送电."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.services.money.stages import Stages
from dashboards.words import N_
from prepaid.money import ZERO, Money
from prepaid.reading import Supply

SLOW = timedelta(seconds=15)  # a gateway that is there has the credit sooner


class Step(StrEnum):
    DONE = "done"
    NOW = "now"
    ACT = "act"  # the resident's turn
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Stage:
    """label and note are message ids; at is None until the stage is reached, or where it needed no switching."""

    label: str
    step: Step
    at: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    headline: str
    stages: tuple[Stage, ...]

    @property
    def is_paid(self) -> bool:
        return self.stages[0].step is Step.DONE

    @property
    def step(self) -> Step:
        """Where the whole stands: done, going on, or waiting for the resident."""
        return next((s.step for s in self.stages if s.step in (Step.NOW, Step.ACT)), Step.DONE)


_DELIVERED = {False: N_("Sent to your meter"), True: N_("Typed in at the gateway")}
_SUPPLIED = {
    True: (N_("Power is on"), N_("Power did not go off.")),
    False: (N_("Water is on"), N_("Water did not go off.")),
}
_RESTORING = {
    True: (N_("Power is coming back"), N_("Your meter has the credit. This takes a moment.")),
    False: (N_("Water is coming back"), N_("Your meter has the credit. This takes a moment.")),
}
_OFFLINE = {
    True: N_(
        "The meter's gateway is offline. Your money is booked; power comes back by itself when it is online again."
    ),
    False: N_(
        "The meter's gateway is offline. Your money is booked; water comes back by itself when it is online again."
    ),
}
_LATE = {
    True: N_(
        "This takes longer than usual. Your money is safe, and power comes back by itself once the gateway answers."
    ),
    False: N_(
        "This takes longer than usual. Your money is safe, and water comes back by itself once the gateway answers."
    ),
}
_STILL_OFF = {
    True: (
        N_("Power is still off"),
        N_("The balance is still below zero. Top up the rest to get power back."),
    ),
    False: (
        N_("Water is still off"),
        N_("The balance is still below zero. Top up the rest to get water back."),
    ),
}


def progress(stages: Stages, *, is_power: bool, balance: Money, now: datetime) -> Progress:
    """The stages of a top-up for electricity or water; balance is its purse's at now."""
    supplied, stayed_on = _SUPPLIED[is_power]
    reached = (
        (stages.paid_at, N_("Paid")),
        (stages.credited_at, N_("Added to your balance")),
        (stages.delivered_at, _DELIVERED[stages.code_entered_at is not None]),
        (stages.restored_at, supplied),
    )
    going_on = (
        (
            N_("Waiting for payment"),
            N_("If you have paid, this page shows it within a minute."),
        ),
        (N_("Adding to your balance"), ""),
        (N_("Sending to your meter"), _on_the_way(stages, is_power=is_power, now=now)),
        _RESTORING[is_power],
    )
    steps: list[Stage] = []
    for (at, label), (doing, note) in zip(reached, going_on, strict=True):
        if at is not None:
            steps.append(Stage(label, Step.DONE, at))
        elif all(step.step is Step.DONE for step in steps):
            steps.append(Stage(doing, Step.NOW, None, note))
        else:
            steps.append(Stage(label, Step.LATER, None))
    if steps[3].step is Step.NOW:
        steps[3] = _last(stages, steps[3], (supplied, stayed_on), _STILL_OFF[is_power], balance)
    return Progress(_headline(steps, is_power=is_power), tuple(steps))


def _on_the_way(stages: Stages, *, is_power: bool, now: datetime) -> str:
    """What to say while the credit has not reached the gateway; a message id, empty while all is as usual."""
    if not stages.gateway_online:
        return _OFFLINE[is_power]
    is_late = stages.credited_at is not None and now - stages.credited_at >= SLOW
    return _LATE[is_power] if is_late else ""


def _last(
    stages: Stages,
    stage: Stage,
    supplied: tuple[str, str],
    still_off: tuple[str, str],
    balance: Money,
) -> Stage:
    """The last stage once the credit has reached the gateway and supply is not known to have come back."""
    if stages.supply is Supply.ARMED:
        label = N_("Press the button on your meter")
        return Stage(label, Step.ACT, stages.armed_at, N_("Your meter may switch on now."))
    if stages.supply is Supply.ON:
        label, note = supplied
        return Stage(label, Step.DONE, None, note)
    if balance <= ZERO:
        label, note = still_off
        return Stage(label, Step.ACT, None, note)
    return stage


def _headline(steps: list[Stage], *, is_power: bool) -> str:
    if steps[3].step in (Step.DONE, Step.ACT):
        return steps[3].label
    if steps[0].step is Step.NOW:
        return steps[0].label
    return _RESTORING[is_power][0]
