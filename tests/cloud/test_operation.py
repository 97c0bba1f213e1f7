"""Looking after an installation: its first link, health, metrics, the check, and the nightly backup."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from cloud.backups import folder, sealed
from cloud.services.operation import readiness
from cloud.settings import Settings
from cloud.tables import utc_now
from tests.cloud.conftest import NOON
from wattwell import checking, upgrading

pytestmark = pytest.mark.processes


def test_the_installation_is_ready_once_a_worker_is_heard_with_its_broker_and_a_scheduler_leads(
    web, database, url
):
    assert web.get("/health/live").status_code == 200
    before = web.get("/health/ready")
    assert before.status_code == 503
    assert before.json()["schema"]["ok"]
    assert not before.json()["worker"]["ok"]

    now = utc_now()
    with database.system() as session:
        readiness.beat(session, "w1", has_broker=False, now=now)
        readiness.beat(session, "w2", has_broker=True, now=now - readiness.LATE)
    assert web.get("/health/ready").json()["worker"] == {"ok": True, "said": "1 heard"}
    assert not web.get("/health/ready").json()["broker"]["ok"]

    with database.system() as session:
        readiness.beat(session, "w1", has_broker=True, now=now)
        parts = {part.name: part.is_well for part in readiness.look(session, now=now)}
        later = readiness.look(session, now=now + timedelta(minutes=5))
    assert parts == {"schema": True, "worker": True, "broker": True, "scheduler": False}
    assert not {part.name: part.is_well for part in later}["worker"]


def test_requests_are_counted_by_their_route_and_not_by_whose_they_are(web):
    def counted(route: str) -> float:
        labels = {"method": "GET", "route": route, "status": "404"}
        return REGISTRY.get_sample_value("wattwell_http_requests_total", labels) or 0

    before = counted("/t/{token}")
    web.get("/t/somebodys-token")

    assert counted("/t/{token}") == before + 1
    assert "somebodys-token" not in str(list(REGISTRY.collect()))


def test_where_there_is_staff_the_setup_link_leads_nowhere(web, settings):
    web.app.state.settings = settings.model_copy(update={"setup_token": "t" * 43})

    for token in ("t" * 43, "x"):
        assert web.get(f"/setup/begin/{token}").status_code == 404
        posted = {"organization": "o", "name": "n", "login": "l", "password": "p" * 10}
        headers = {"Origin": "http://cloud.test"}
        answer = web.post(
            f"/setup/begin/{token}", data=posted | {"again": "p" * 10}, headers=headers
        )
        assert answer.status_code == 404


def test_the_newest_backups_are_kept_sealed_and_with_the_keys(settings: Settings, tmp_path):
    own = settings.model_copy(
        update={
            "backup_folder": tmp_path / "backups",
            "backup_keep": 2,
            "backup_passphrase": "correct horse battery",
        }
    )

    deleted = []
    for day in range(3):
        done = folder.back_up(own, now=NOON + timedelta(days=day))
        assert done is not None
        deleted.append(done[1])

    assert deleted == [0, 0, 1]
    kept = folder.kept(tmp_path / "backups")
    assert [one.made_at.day for one in kept] == [4, 3]
    assert all(one.is_sealed and one.secrets > 3 for one in kept)
    members = [
        what
        for what, _ in sealed.members(tmp_path / "backups" / kept[0].name, "correct horse battery")
    ]
    assert {"file": "secrets/signing_key"} in members


def test_the_check_says_of_each_thing_whether_it_is_well_and_what_to_do(settings):
    lines = {line.what: line for line in checking.look(settings)}

    assert lines["books"].advice is None
    assert lines["schema"].advice is None
    assert lines["meters"].advice is None
    assert lines["broker"].advice == "start the broker, or mend nats_url"
    assert lines["backups"].advice == "set backup_folder in cloud.toml"
    away = settings.model_copy(update={"database_url": "postgresql://x:x@127.0.0.1:1/x"})
    found = [line.what for line in checking.look(away) if line.advice and "database" in line.advice]
    assert found == ["database"]


def test_an_upgrade_backs_up_first_and_says_how_to_go_back(settings, tmp_path, capsys):
    backup = tmp_path / "before"

    status = upgrading.upgrade(settings, to=backup, passphrase=None)

    said = capsys.readouterr().out
    assert status == 1  # no worker, no broker in this test
    sealed.check(backup)
    assert said.startswith(f"backup: {backup}")
    assert f"wattwell cloud restore {backup}" in said
