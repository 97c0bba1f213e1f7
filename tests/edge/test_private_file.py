"""Secrets are for their owner alone, and are never half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.private_file import write_private


def test_a_secret_is_for_its_owner_alone_also_where_a_crash_left_an_open_file(tmp_path: Path):
    path = tmp_path / "gateway.key"
    left = tmp_path / "gateway.key.new"
    left.write_text("half of an older")
    left.chmod(0o644)

    write_private(path, "secret")

    assert path.read_text() == "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not left.exists()


def test_a_secret_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "gateway.key"
    write_private(path, b"old")
    (tmp_path / "gateway.key.new").mkdir()

    with pytest.raises(OSError, match=r"gateway\.key\.new"):
        write_private(path, b"new")

    assert path.read_bytes() == b"old"
