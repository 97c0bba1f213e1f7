"""A gateway keeps its credentials good by itself, and goes on metering whatever the cloud says."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.settings import load
from edge.uplink import credentials as files
from edge.uplink.access import Access
from edge.uplink.cloud_http import Post, Refused, Unreachable
from edge.uplink.credentials import Credentials
from edge.uplink.renewal import Renewal
from prepaid.enrolment import Grant, Refusal, Renew, seal_grant, seal_refusal, written_key
from prepaid.seal import KeySet
from tests.edge.simulated import clock, simulated

BEGIN = datetime.fromisoformat("2026-11-21T10:00:00Z")  # of the simulated clock
DAY = timedelta(days=1)
CONFIG = 'gateway_no = "GW-0001"\n[[line]]\nname = "L1"\nport = "tcp:127.0.0.1:4001"\n'


REPLACED = Refusal("GW-0001", "Replaced", "Another machine has been enrolled as gateway GW-0001.")


class Cloud:
    """Gives credentials for 90 days; what the gateway's link, sync and web client meet of it."""

    def __init__(self, folder: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.number = 1
        self.taken: list[str] = ["GW-0001.1"]  # users whom the broker admits
        self.asked = 0
        self.away: Unreachable | None = None
        self.refusal: Refusal | None = None
        self.signer = self.key  # of refusals
        self.shift = timedelta(0)  # how far its clock is ahead of the gateway's
        # The link:
        self.is_up, self.is_refused = True, False
        self.used: list[str] = []
        # The sync:
        self.trusted: list[tuple[tuple[str, ...], int | None]] = []
        self.gave_way: list[str] = []
        self.config = folder / "gateway.toml"
        self.config.write_text(CONFIG)
        files.write(folder, self.credentials())
        self.gateway_key = files.own_key(folder)
        self.renewal = Renewal(
            self.config,
            load(self.config, {}),
            self,
            self,
            now=clock,
            open_post=self.open_post,
            in_thread=here,
        )

    def credentials(self) -> Credentials:
        return files.granted(self.grant(at=BEGIN), cloud_url="https://cloud.test", https_ca=None)

    def grant(self, *, at: datetime) -> Grant:
        return Grant(
            gateway_no="GW-0001",
            public_key="",
            brokers=("mqtts://broker.test:8883",),
            broker_ca=None,
            number=self.number,
            user=f"GW-0001.{self.number}",
            password=f"password {self.number}",
            cloud_keys=(written_key(self.key.public_key()),),
            keys_number=0,
            code_key=base64.b64encode(bytes(32)).decode(),
            issued_at=at,
            expires_at=at + 90 * DAY,
        )

    def open_post(self, credentials: Credentials) -> Post:
        return self.post

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        if path == "/api/gateways/challenge":
            self.asked += 1
            if self.away is not None:
                raise self.away
            return json.dumps({"challenge": f"challenge {self.asked}"}).encode()
        asked = Renew(**body)  # type: ignore[arg-type]
        asked.verify(written_key(self.gateway_key.public_key()))
        if self.refusal is not None:
            proof = seal_refusal(self.refusal, self.signer, asked=asked)
            raise Refused(self.refusal.code, self.refusal.sentence, proof=proof)
        self.number += 1
        return seal_grant(
            self.grant(at=clock() + self.shift), self.key, nonce=str(body["challenge"])
        )

    async def use(self, access: Access) -> None:
        self.used.append(access.user)
        self.is_up = access.user in self.taken
        self.is_refused = not self.is_up

    def trust(self, keys: KeySet, *, credential: int | None) -> None:
        self.trusted.append((keys.ids, credential))

    def give_way(self, why: str) -> None:
        self.gave_way.append(why)

    async def days_pass(self, days: float) -> None:
        """The gateway looks every hour of them."""
        for _ in range(round(days * 24)):
            await asyncio.sleep(3600)
            await self.renewal.look()


async def here(work, *arguments, **named):
    return work(*arguments, **named)


def written(cloud: Cloud) -> int:
    found = files.read(cloud.config.parent)
    assert found is not None
    return found.number


@simulated
async def test_credentials_of_90_days_are_renewed_after_60(tmp_path: Path):
    cloud = Cloud(tmp_path)
    cloud.taken.append("GW-0001.2")

    await cloud.days_pass(59)
    assert cloud.asked == 0
    await cloud.days_pass(2)

    assert cloud.used == ["GW-0001.2"]
    assert written(cloud) == 2
    assert cloud.trusted == [(KeySet([cloud.key.public_key()]).ids, 2)]
    await cloud.days_pass(30)
    assert cloud.asked == 1


@simulated
async def test_a_cloud_that_is_away_is_asked_again_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    cloud = Cloud(tmp_path)
    cloud.taken.append("GW-0001.2")
    cloud.away = Unreachable("https://cloud.test does not answer: timed out")

    await cloud.days_pass(65)
    assert 10 < cloud.asked < 30  # within 5 days: soon at first, then every 6 hours
    cloud.away = None
    await cloud.days_pass(1)

    assert written(cloud) == 2
    messages = [record.getMessage() for record in caplog.records]
    assert (
        sum("are not renewed yet: https://cloud.test does not answer" in m for m in messages) == 1
    )
    assert sum("the credentials are renewed: number 2" in m for m in messages) == 1


@simulated
async def test_renewed_credentials_that_the_broker_does_not_know_are_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cloud = Cloud(tmp_path)

    await cloud.days_pass(62)

    assert cloud.used[:2] == ["GW-0001.2", "GW-0001.1"]
    assert cloud.is_up
    assert written(cloud) == 1
    assert cloud.trusted == []  # so the cloud lets the first stand
    assert "the broker does not know those renewed, number 2" in caplog.text


@simulated
async def test_credentials_that_ran_out_while_the_gateway_was_away_are_renewed_at_once(
    tmp_path: Path,
):
    cloud = Cloud(tmp_path)
    cloud.taken = ["GW-0001.2"]
    cloud.is_up, cloud.is_refused = False, True

    await cloud.days_pass(1 / 8)

    assert (written(cloud), cloud.is_up) == (2, True)


@simulated
async def test_credentials_that_the_broker_refuses_soon_after_they_were_renewed_are_asked_about(
    tmp_path: Path,
):
    cloud = Cloud(tmp_path)
    cloud.taken.append("GW-0001.2")
    await cloud.days_pass(61)
    assert cloud.asked == 1

    cloud.is_up, cloud.is_refused = False, True
    await cloud.days_pass(1 / 8)

    assert cloud.asked > 1


@simulated
async def test_a_revoked_gateway_says_so_once_and_asks_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cloud = Cloud(tmp_path)
    cloud.is_up, cloud.is_refused = False, True
    cloud.refusal = Refusal(
        "GW-0001", "Revoked", "The credentials of gateway GW-0001 were revoked."
    )

    await cloud.days_pass(100)

    assert cloud.asked == 1
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "The credentials of gateway GW-0001 were revoked. Metering goes on; nothing reaches the cloud"
    ]


@simulated
async def test_a_gateway_in_whose_place_another_was_enrolled_gives_way_within_half_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cloud = Cloud(tmp_path)
    cloud.is_up, cloud.is_refused = False, True
    cloud.refusal = REPLACED

    for _ in range(6):  # each five seconds
        await cloud.renewal.look()
        await asyncio.sleep(5)

    assert cloud.gave_way == [REPLACED.sentence]
    await cloud.days_pass(100)
    assert (cloud.asked, len(cloud.gave_way)) == (1, 1)
    assert "Metering goes on" not in caplog.text


@simulated
async def test_who_is_on_the_way_to_the_cloud_cannot_say_that_another_serves_in_our_place(
    tmp_path: Path,
):
    cloud = Cloud(tmp_path)
    cloud.taken = ["GW-0001.2"]
    cloud.is_up, cloud.is_refused = False, True
    cloud.refusal, cloud.signer = REPLACED, Ed25519PrivateKey.generate()
    await cloud.days_pass(1)

    cloud.refusal = replace(REPLACED, gateway_no="GW-0002")
    cloud.signer = cloud.key  # what the cloud once said to another
    await cloud.days_pass(1)
    assert cloud.gave_way == []

    cloud.refusal = None
    await cloud.days_pass(1)
    assert (written(cloud), cloud.is_up) == (2, True)


@simulated
async def test_what_a_technician_enrolled_is_taken_up_without_a_restart(tmp_path: Path):
    cloud = Cloud(tmp_path)
    cloud.is_up, cloud.is_refused = False, True
    cloud.refusal = Refusal("GW-0001", "Revoked", "Revoked.")
    await cloud.days_pass(1)

    cloud.number, cloud.taken, cloud.refusal = 7, ["GW-0001.7"], None
    files.write(tmp_path, cloud.credentials())
    await cloud.days_pass(1)

    assert cloud.used == ["GW-0001.7"]
    assert cloud.trusted[-1][1] == 7
    assert (cloud.is_up, cloud.asked) == (True, 1)


@simulated
async def test_a_damaged_file_leaves_what_is_in_use_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cloud = Cloud(tmp_path)
    (tmp_path / files.CREDENTIALS).write_text("{")
    await cloud.days_pass(1)
    assert (cloud.used, cloud.is_up) == ([], True)
    assert caplog.text.count("credentials.json is damaged: enrol this gateway again") == 1


@simulated
async def test_credentials_are_renewed_though_somebody_has_spoilt_gateway_toml_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cloud = Cloud(tmp_path)
    cloud.taken += ["GW-0001.2", "GW-0001.3"]
    cloud.config.write_text("gateway_no = ")

    await cloud.days_pass(61)
    assert written(cloud) == 2
    assert cloud.trusted == [(KeySet([cloud.key.public_key()]).ids, 2)]
    assert "would not start again" in caplog.text
    await cloud.days_pass(60)
    assert cloud.used == ["GW-0001.2", "GW-0001.3"]  # by those renewed, not by the first


@simulated
async def test_a_clock_that_is_years_ahead_renews_once_a_day_and_no_more(tmp_path: Path):
    cloud = Cloud(tmp_path)
    cloud.shift = -3650 * DAY
    cloud.taken += [f"GW-0001.{n}" for n in range(2, 100)]
    await cloud.days_pass(64)
    assert cloud.asked in (4, 5)  # on each day from the 60th on


def test_credentials_are_read_as_they_were_written(tmp_path: Path):
    cloud = Cloud(tmp_path)
    assert files.read(tmp_path) == cloud.credentials()
    assert files.read(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("damage", ["", "{}", "null", "brokers", "cloud_keys", "code_key"])
def test_credentials_that_make_no_sense_are_refused_whole(tmp_path: Path, damage: str):
    Cloud(tmp_path)
    path = tmp_path / files.CREDENTIALS
    kept = json.loads(path.read_text())
    if damage in kept:
        kept[damage] = ["x"] if isinstance(kept[damage], list) else "x"
        damage = json.dumps(kept)
    path.write_text(damage)
    with pytest.raises(files.BadCredentials, match="is damaged: enrol this gateway again"):
        files.read(tmp_path)


def test_no_secret_is_shown_when_credentials_are_printed(tmp_path: Path):
    kept = replace(Cloud(tmp_path).credentials(), code_key=b"k" * 32)
    for shown in (repr(kept), repr(kept.access)):
        assert "password 1" not in shown
        assert "kkkk" not in shown


def test_a_key_that_is_damaged_is_said_and_not_replaced(tmp_path: Path):
    (tmp_path / files.KEY).write_text("nonsense")
    with pytest.raises(files.BadCredentials, match="is no key: remove it and enrol"):
        files.own_key(tmp_path)
    assert (tmp_path / files.KEY).read_text() == "nonsense"
