"""Every request among the collected frames is built, byte for byte, from what its line says of it."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from protocols.cj188 import frame, items, master
from protocols.cj188.frame import Frame
from protocols.cj188.master import ValveCommand

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "cjt188.jsonl").read_text().splitlines()
]
REQUESTS = [
    (line["id"], said)
    for line in LINES
    for said in line.get("expect", {}).get("frames", [line.get("expect", {})])
    if said.get("reply") is False and "ser" in said  # without SER is against the text
]
BY_ID = {line["id"]: line for line in LINES}


def built(said, sent: bytes) -> bytes:
    """As the master's functions build it; what has no function of its own is written as sent."""
    address, data, meter_type = said["addr"], said["data"], int(said["type"], 16)
    order = {"high_first": said["di_order"] == "hi_first", "serial": said["ser"]}
    typed = {"meter_type": meter_type, **order}
    di = int(said["di"], 16)
    match said["ctrl"], said["di"]:
        case "01", _:
            return next(master.read(address, di, **typed))
        case "03", _ if address == frame.WILDCARD:
            return next(master.read_address(**typed))
        case "03", _:
            request = Frame(meter_type, address, master.READ_ADDRESS)
            return next(master.exchange(request, di, **order))
        case (("04" | "2A"), "A017") if data["valve_cmd"] in ("open", "close"):
            command = ValveCommand[data["valve_cmd"].upper()]
            function = int(said["ctrl"], 16)
            return next(master.write_valve(address, command, function=function, **typed))
        case "04", "A013":
            purchase = items.encode_purchase(data["purchase_no"], Decimal(data["amount"]))
            return next(master.write(address, di, purchase, **typed))
        case "04", "A015":
            return next(master.write_clock(address, datetime.fromisoformat(data["time"]), **typed))
        case "15", _:
            return next(master.write_address(data["new_address"], **typed))
        case (("04" | "16"), _):
            return next(master.write(address, di, frame.decode(sent).data[3:], **typed))
    raise AssertionError(f"nothing builds {said['ctrl']} {said['di']}")


@pytest.mark.parametrize(("name", "said"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_a_request_is_built_byte_for_byte(name, said):
    stream = bytes.fromhex(BY_ID[name]["hex"])
    sent = next(
        frame.encode(one, preamble=0) for one in frame.Decoder().feed(stream) if not one.is_reply
    )
    assert sent in stream

    assert built(said, sent).lstrip(b"\xfe") == sent
