"""An explanation never fails on a frame, whatever is in it."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.cj188 import explain as cj188
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import items as cj188_items
from protocols.dlt645 import explain as dlt645
from protocols.dlt645 import frame as dlt645_frame

controls = st.integers(0, 255)
editions = st.none() | st.sampled_from(dlt645.Edition)


@given(controls, st.binary(max_size=80), editions)
def test_any_dlt645_frame_is_explained(control, data, edition):
    sent = dlt645_frame.encode(dlt645_frame.Frame("012345678901", control, data))
    assert dlt645.explain(sent, edition)["length"] == len(data)


known = st.sampled_from(sorted(cj188_items.REPLIES)).map(lambda di: di.to_bytes(2, "big"))


@given(
    controls,
    st.binary(max_size=80) | st.builds(bytes.__add__, known, st.binary(max_size=80)),
    st.sets(st.sampled_from(["unit_first", "time_be", "time_binary"])),
)
def test_any_cj188_frame_is_explained(control, data, quirks):
    sent = cj188_frame.encode(cj188_frame.Frame(0x10, "78330011223344", control, data))
    assert cj188.explain(sent, quirks)
