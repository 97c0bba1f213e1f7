"""Gateway, broker and worker are killed at random; the books do not notice. `make chaos` goes on for longer."""

from __future__ import annotations

import random

import pytest

from tests.processes.chaos import audit, torment
from wattwell.programs import Programs
from wattwell.story import Story

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

SECONDS = 90
SEED = 20261121


def test_nothing_is_lost_or_doubled_and_nobody_wrongly_cut_whatever_is_killed(
    programs: Programs, story: Story
):
    campaign = torment(programs, seconds=SECONDS, chance=random.Random(SEED))

    assert campaign.broken == []
    assert campaign.kills.keys() == {"gateway", "MQTT broker", "worker"}
    assert len(campaign.paid) >= 10
    findings = audit(programs, story, campaign)
    assert findings.faults == ()
    assert findings.cuts >= 1
    assert findings.charges >= 100
