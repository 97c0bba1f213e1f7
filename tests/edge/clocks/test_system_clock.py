"""What this very machine says of its clock."""

from __future__ import annotations

import time
from datetime import timedelta

from edge.clocks.system_clock import KernelClock, since_boot


def test_the_kernel_says_how_far_off_a_kept_clock_can_be_or_that_nobody_keeps_it():
    error = KernelClock().error()

    # The kernel takes its word back at 16 s (NTP_PHASE_LIMIT).
    assert error is None or timedelta(0) <= error <= timedelta(seconds=16)


def test_the_time_since_the_start_of_the_machine_goes_on():
    first = since_boot()

    assert first > 0
    assert since_boot() >= first
    assert since_boot() >= time.monotonic() - 1  # which stands still while a machine sleeps
