"""What customers do beside paying: they type codes, borrow, and answer for their taps, here or on the page."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from cloud.services.gateway_keys import code_key
from edge import codes
from edge.ledger.store import Store
from prepaid.ledger import prepaid
from simulators.world import supplies
from simulators.world.broken import Broken
from simulators.world.cloud import CODE_SECRET

if TYPE_CHECKING:
    from simulators.world.story import Story

ASK_AGAIN_S = 1200.0


def type_code(story: Story, number: int, topup: UUID) -> None:
    """A customer types a code at the gateway, and once more; the second time nothing may come of it."""
    code = story.cloud.code(topup)
    if code is None:
        return
    story.truth.codes[prepaid(code.purse), code.number] = code
    machine = story.serving[number]
    key = code_key(CODE_SECRET, gateway_no=machine.gateway_no)
    for is_first in (True, False):

        def act(store: Store) -> bool:
            try:
                codes.enter(store, key, code.digits, code.purse, machine.wall())
            except codes.Refused:
                return False
            return True

        if not machine.by_hand(act):
            return
        if not is_first:
            raise Broken("codes", f"{machine.name} takes a code twice: {code}")
        story.truth.counted_codes += 1


def borrow(story: Story, number: int, purse: int, *, is_here: bool, left_s: float) -> None:
    """Emergency credit is taken as soon as it is offered, at the gateway or on the page."""
    estate, machine = story.estates[number], story.serving[number]
    id = estate.purses[purse]

    def act(store: Store) -> bool:
        try:
            codes.take_emergency(store, id, machine.wall())
        except codes.Refused:
            return False
        return True

    # Nobody asks before his money is nearly gone; by then it is offered, or not yet known to the cloud.
    if story.truth.booked(id) <= story.truth.offered_fen(id):
        known = str(id) in story.truth.asked
        story.truth.asked.add(str(id))
        is_taken = machine.by_hand(act) if is_here else story.cloud.borrow(estate, purse)
        if is_taken:
            return
        if not known:
            story.truth.asked.discard(str(id))
    if left_s > ASK_AGAIN_S and not story.is_calm:
        again = partial(borrow, story, is_here=is_here, left_s=left_s - ASK_AGAIN_S)
        asyncio.get_running_loop().call_later(ASK_AGAIN_S, again, number, purse)


def close_taps(story: Story, number: int, *, is_here: bool) -> bool:
    """Whoever is asked about his taps says that they are closed. Whether anybody was."""
    estate, machine = story.estates[number], story.serving[number]
    is_any_said = False
    for point in estate.points:
        id = point.id
        if not supplies.asks_for_taps(story.truth.points[str(id)]):
            continue  # there is water

        def act(store: Store, id: UUID = id) -> bool:
            try:
                codes.close_taps(store, id, machine.wall())
            except codes.Refused:
                return False
            return True

        now = asyncio.get_running_loop().time()
        before = story.truth.taps.get(str(id))
        story.truth.taps[str(id)] = now
        is_said = machine.by_hand(act) if is_here else story.cloud.close_taps(estate, id)
        is_any_said |= bool(is_said)
        if not is_said:
            story.truth.taps.pop(str(id))
            if before is not None:
                story.truth.taps[str(id)] = before
    return is_any_said
