"""The pages on which somebody plays a payment company, and the settings that its merchant gets."""

from __future__ import annotations

import tomllib

import pytest
from fastapi.testclient import TestClient

from cloud.channel_settings import ChannelSettings
from simulators import desk, merchant
from simulators.payments import Misbehaviour, Order

URL = "http://127.0.0.1:9081"


def settings_of(folder) -> dict[str, object]:
    """What the cloud would read of a merchant's folder."""
    lines = tomllib.loads((folder / "cloud.toml").read_text("utf-8"))
    secrets = {path.name: path.read_text("ascii") for path in (folder / "secrets").iterdir()}
    return lines | secrets


def make(name: str, folder, url: str = URL):
    if name == "wechat":
        return merchant.wechat(folder, url=url, site="127.0.0.1", by_certificates=False)
    return {"alipay": merchant.alipay_merchant, "twilio": merchant.twilio}[name](folder, url=url)


@pytest.mark.parametrize("name", ["wechat", "alipay", "twilio"])
def test_the_cloud_takes_the_settings_of_a_merchant_and_they_stay_good(name, tmp_path):
    make(name, tmp_path)
    first = settings_of(tmp_path)
    assert ChannelSettings.model_validate(first).lacking() == {}
    make(name, tmp_path, "http://127.0.0.1:9999")
    again = settings_of(tmp_path)
    changed = {key for key in first if first[key] != again[key]}
    assert changed <= {f"{name}_url", f"{name}_authorize_url", f"{name}_token_url"}
    assert (tmp_path / "secrets").stat().st_mode


def test_an_order_is_paid_given_back_and_misbehaved_with_on_the_page(tmp_path):
    company = make("wechat", tmp_path)
    placed = company.books.place(
        Order("W" * 32, "native", 5000, "预付电费", "http://127.0.0.1:1/n", "weixin://x")
    )
    page = TestClient(desk.payments(company, name="WeChat Pay"), follow_redirects=False)
    assert "¥50.00" in page.get("/").text

    page.post("/desk/misbehave", data={"how": "twice"})
    assert page.post("/desk/pay", data={"order": placed.out_trade_no}).status_code == 303
    assert company.books.misbehaviour is Misbehaviour.TWICE
    assert company.books.owed == 2
    assert placed.transaction_id in page.get("/").text

    company.books.refund(placed, "R1", 2000)
    assert "PROCESSING" in page.get("/").text
    page.post("/desk/settle", data={"state": "ABNORMAL"})
    assert placed.refunds["R1"].state == "ABNORMAL"
    page.post("/desk/deliver")  # nobody is there to take them
    assert company.books.owed == 3

    page.post("/desk/away", data={"away": "yes"})
    assert page.get("/v3/certificates").status_code == 502
    page.post("/desk/away", data={"away": "no"})
    assert not company.is_away


def test_what_cannot_be_done_on_the_page_is_said(tmp_path):
    page = TestClient(desk.payments(make("alipay", tmp_path), name="Alipay"))
    assert page.post("/desk/pay", data={"order": "none"}).status_code == 409
    assert page.post("/desk/misbehave", data={"how": "well"}).status_code == 409
    assert page.post("/desk/fly").status_code == 404
