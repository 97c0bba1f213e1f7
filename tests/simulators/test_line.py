"""A line at its true rate, on a pseudo-terminal and over TCP."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from protocols.cj188 import master as cj188
from protocols.dlt645 import master as dlt645
from simulators import water
from simulators.electricity import ElectricityMeter
from simulators.faults import Faults
from simulators.line import Line, LineUnavailable, PtyEnd, TcpEnd, collide
from simulators.physics import Load, Register
from simulators.stations import Cj188Station, Dlt645Station, Served
from simulators.water import WaterMeter

CHAR_S = 11 / 2400
DELAY_S = 0.02


@asynccontextmanager
async def served(
    clock, *, faults=None, addresses=("202310450101",), before_answer=lambda meters: None
):
    """A line with an electricity meter for each address, and one water meter."""
    power = [
        ElectricityMeter(
            address,
            clock=clock,
            local_time=clock.local_time,
            register=Register(Decimal("4823.61"), Load(2000, 0, 1), 1),
            passwords={2: "000000"},
            resident=None,
        )
        for address in addresses
    ]
    pipe = WaterMeter(
        "78330023100101",
        clock=clock,
        local_time=clock.local_time,
        register=Register(Decimal("312.47"), Load(600, 0, 1), 1),
        make=water.Make(battery_low=True),
    )
    line = Line(
        "L1",
        [
            Dlt645Station([Served(meter) for meter in power], clock.local_time),
            Cj188Station([Served(pipe)], clock.local_time),
        ],
        baud=2400,
        delay_s=(DELAY_S, DELAY_S),
        faults=faults or Faults(),
        seed=1,
        before_answer=before_answer,
    )
    running = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        for end in line.ends:
            await end.close()
        running.cancel()


async def on_tcp(line) -> int:
    end = await TcpEnd.open(0, line.hear)
    line.ends.append(end)
    return end.port


def on_pty(line, path) -> str:
    line.ends.append(PtyEnd(path, line.hear))
    return str(path)


async def test_a_meter_answers_over_tcp(clock, connected):
    async with served(clock) as line, connected(await on_tcp(line)) as master:
        assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")


async def test_a_meter_answers_on_a_pseudo_terminal(clock, connected, tmp_path):
    async with served(clock) as line, connected(on_pty(line, tmp_path / "L1.tty")) as master:
        assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")


async def test_two_protocols_share_a_line(clock, connected):
    async with served(clock) as line, connected(await on_tcp(line)) as master:
        assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")
        reading = await master.ask(cj188.read_water("78330023100101", serial=0), cj188=True)

    assert (reading.total, reading.status.battery_low) == (Decimal("312.47"), True)


@pytest.mark.parametrize("kind", ["tcp", "pty"])
async def test_an_exchange_is_never_faster_than_the_wire(clock, connected, tmp_path, kind):
    async with served(clock) as line:
        to = await on_tcp(line) if kind == "tcp" else on_pty(line, tmp_path / "L1.tty")
        async with connected(to) as master:
            await master.ask(dlt645.read_energy("202310450101"))

    # Asked: 4 FE and 16 bytes; answered: 4 FE and 20 bytes; 44 × 11 bits / 2400 + 20 ms = 221.7 ms
    assert len(master.heard) == 24
    assert master.took_s >= 44 * CHAR_S + DELAY_S


async def test_requests_sent_at_once_take_the_wire_one_after_the_other(clock, connected):
    async with served(clock) as line, connected(await on_tcp(line)) as master:
        master.writer.write(b"\xfe" * 20)
        await master.ask(dlt645.read_energy("202310450101"))

    assert master.took_s >= (20 + 44) * CHAR_S + DELAY_S


async def test_a_client_may_come_again(clock, connected, tmp_path):
    async with served(clock) as line:
        port, path = await on_tcp(line), on_pty(line, tmp_path / "L1.tty")
        for to in (port, path, port, path):
            async with connected(to) as master:
                assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")


async def test_the_link_goes_with_the_line(clock, tmp_path):
    async with served(clock) as line:
        on_pty(line, tmp_path / "L1.tty")
        assert (tmp_path / "L1.tty").is_char_device()

    assert list(tmp_path.iterdir()) == []


async def test_a_link_left_behind_by_a_killed_program_is_replaced(clock, tmp_path):
    (tmp_path / "L1.tty").symlink_to("/dev/pts/nowhere")

    async with served(clock) as line:
        on_pty(line, tmp_path / "L1.tty")
        assert (tmp_path / "L1.tty").is_char_device()


async def test_a_file_in_the_way_of_the_link_is_left_alone(clock, tmp_path):
    (tmp_path / "L1.tty").write_text("mine")

    async with served(clock) as line:
        with pytest.raises(LineUnavailable, match=r"L1\.tty is in the way"):
            on_pty(line, tmp_path / "L1.tty")

    assert (tmp_path / "L1.tty").read_text() == "mine"


async def test_a_port_that_is_taken_is_named(clock):
    async with served(clock) as line:
        port = await on_tcp(line)
        with pytest.raises(LineUnavailable, match=f"port {port} .* is taken"):
            await TcpEnd.open(port, line.hear)


async def test_silence_leaves_the_master_without_an_answer(clock, connected):
    async with (
        served(clock, faults=Faults(silence=1)) as line,
        connected(await on_tcp(line)) as master,
    ):
        with pytest.raises(TimeoutError):
            await master.ask(dlt645.read_energy("202310450101"), within_s=0.5)

    assert master.heard == b""


async def test_a_truncated_answer_is_no_frame(clock, connected):
    async with (
        served(clock, faults=Faults(truncation=1)) as line,
        connected(await on_tcp(line)) as master,
    ):
        with pytest.raises(TimeoutError):
            await master.ask(dlt645.read_energy("202310450101"), within_s=0.5)

    assert 1 <= len(master.heard) < 24


async def test_an_answer_is_found_behind_noise_and_echo(clock, connected):
    async with (
        served(clock, faults=Faults(noise=1, echo=1)) as line,
        connected(await on_tcp(line)) as master,
    ):
        assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")

    assert len(master.heard) > 20 + 24


async def test_what_is_sent_while_a_meter_answers_is_lost(clock, connected):
    async with served(clock) as line, connected(await on_tcp(line)) as master:
        request = next(dlt645.read_energy("202310450101"))
        master.writer.write(request)
        await master.reader.readexactly(4)
        master.writer.write(request)
        await master.reader.readexactly(20)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await master.reader.read(1)


async def test_two_meters_that_answer_at_once_garble_each_other(clock, connected):
    async with (
        served(clock, addresses=("202310450101", "202310450202")) as line,
        connected(await on_tcp(line)) as master,
    ):
        with pytest.raises(TimeoutError):
            await master.ask(dlt645.read_address(), within_s=0.5)

    assert master.heard


def test_on_the_wire_a_zero_bit_wins():
    assert collide([b"\xf0\xff\x0f", b"\xff\x0f"]) == b"\xf0\x0f\x0f"


async def test_meters_stay_silent_while_their_state_cannot_be_kept(clock, connected):
    full = [OSError(28, "No space left on device")]

    def keep(meters) -> None:
        if full:
            raise full[0]

    async with served(clock, before_answer=keep) as line, connected(await on_tcp(line)) as master:
        with pytest.raises(TimeoutError):
            await master.ask(dlt645.read_energy("202310450101"), within_s=0.5)
        full.clear()
        assert await master.ask(dlt645.read_energy("202310450101")) == Decimal("4823.61")
