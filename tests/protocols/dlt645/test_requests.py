"""Every request among the collected frames is built, byte for byte, from what its line says of it."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from protocols.dlt645 import frame, master, master97
from protocols.dlt645.frame import Frame
from protocols.dlt645.master import Output, RelayCommand

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "dlt645.jsonl").read_text().splitlines()
]
SENT = [line for line in LINES if line["dir"] == "request" and "expect" in line]
NOT_BUILT = {
    "dlt645-2007-p-129": "a read without an identifier",
    "dlt645-2007-p-041": "a broadcast of the time that has none",
    "dlt645-2007-p-085": "13H to the broadcast address, which nobody may answer",
    "dlt645-2007-p-164": "15H to the meter's own address instead of AA…AA",
}
REQUESTS = [line for line in SENT if line["id"] not in NOT_BUILT]


def built(line) -> bytes:
    """As the master's functions build it."""
    said = line["expect"]
    if line["edition"] == "1997":
        return built_1997(said)
    address, control, data = said["address"], said["control"], bytes.fromhex(said["data"])
    who = {"level": int(said.get("pa", "0"), 16), "password": said.get("password")}
    who["operator"] = said.get("operator")
    match control:
        case "03":
            payload = bytes.fromhex(said["payload"])
            di = int(said["di"], 16)
            return next(master.authenticate(address, di, payload, operator=said["operator"]))
        case "08":
            return master.broadcast_time(datetime.fromisoformat(said["time"]))
        case "11" if "blocks" in said:
            since = datetime.fromisoformat(said["from"]) if "from" in said else None
            di = int(said["di"], 16)
            return next(master.read_load_record(address, di, blocks=said["blocks"], since=since))
        case "11":
            return next(master.read(address, int(said["di"], 16)))
        case "12":
            return after_parts(address, int(said["di"], 16), said["seq"])
        case "13":
            return next(master.read_address())
        case "14":
            payload = bytes.fromhex(said["payload"])
            return next(master.write(address, int(said["di"], 16), payload, **who))
        case "15":
            return next(master.write_address(said["new_address"]))
        case "16" if address == frame.BROADCAST:
            return master.broadcast_freeze(said["freeze"])
        case "16":
            return next(master.freeze(address, said["freeze"]))
        case "17":
            return next(master.change_baud(address, said["baud"]))
        case "18":
            old = (int(said["old_pa"]), said["old_password"])
            new = said["new_password"]
            return next(
                master.change_password(
                    address, level=int(said["new_pa"]), old=old, new_password=new
                )
            )
        case "1A":
            return next(master.clear_meter(address, **who))
        case "1B":
            return next(master.clear_events(address, int(said["di"], 16), **who))
        case "1C":
            command = RelayCommand(int(said["n1"], 16))
            until = said["deadline"]
            deadline = None if until == "none" else datetime.fromisoformat(until)
            minutes = 5 * int(said["n2"], 16)
            return next(
                master.control(address, command, deadline=deadline, trip_minutes=minutes, **who)
            )
        case "1D":
            return next(master.select_output(address, Output(data[0])))
    raise AssertionError(f"nothing builds {control}")


def built_1997(said) -> bytes:
    address = said["address"]
    match said["control"]:
        case "01":
            return next(master97.read(address, int(said["di"], 16)))
        case "02":
            di = int(said["di"], 16)
            exchange = master97.read(address, di)
            next(exchange)
            return exchange.send(Frame(address, 0xA1, di.to_bytes(2, "little")))
        case "03":
            return next(master97.reread(address))
        case "04":
            payload = bytes.fromhex(said["payload"])
            return next(master97.write(address, int(said["di"], 16), payload, permission=None))
        case "0C":
            return next(master97.change_baud(address, said["baud"]))
        case "0F":
            old = (int(said["old_pa"]), said["old_password"])
            level, new = int(said["new_pa"]), said["new_password"]
            return next(master97.change_password(address, level=level, old=old, new_password=new))
        case "10":
            return next(master97.reset_demand(address))
    raise AssertionError(f"nothing builds {said['control']}")


def after_parts(address, di, sequence) -> bytes:
    """The request for a part, after a meter has said of those before that more follow."""
    exchange = master.read(address, di)
    next(exchange)
    request = exchange.send(Frame(address, 0xB1, di.to_bytes(4, "little")))
    for part in range(1, sequence):
        data = di.to_bytes(4, "little") + bytes([part])
        request = exchange.send(Frame(address, 0xB2, data))
    return request


@pytest.mark.parametrize("line", REQUESTS, ids=[line["id"] for line in REQUESTS])
def test_a_request_is_built_byte_for_byte(line):
    request = frame.decode(built(line))

    assert frame.encode(request, preamble=line["expect"]["preamble"]).hex() == line["hex"].lower()


def test_all_but_what_nobody_should_send_is_built():
    assert len(REQUESTS) + len(NOT_BUILT) == len(SENT)
