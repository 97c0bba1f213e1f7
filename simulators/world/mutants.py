"""Bugs planted one at a time, each of which the world must find: `python -m simulators.world.mutants`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from simulators.world.__main__ import make_database, serving

ROOT = Path(__file__).parents[2]
PACKAGES = ("prepaid", "protocols", "edge", "cloud", "simulators", "wattwell")
JOBS = 2
FOUND = re.compile(r"^seed (\d+) breaks ([^:]+): (.*); again: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: in a file one text, found there once, stands in the place of another."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "entries are told before they are on the disk",
        "edge/ledger/store.py",
        "        self.to_disk()\n        return self._up.after(",
        "        return self._up.after(",
    ),
    Mutant(
        "credits do not wait for the disk",
        "edge/ledger/store.py",
        "waits = not is_derived or self._waiting >= GROUP",
        "waits = False",
    ),
    Mutant(
        "a remainder is dropped",
        "prepaid/rating.py",
        "        running.append(Running(total.item, cost, posted))",
        "        running.append(Running(total.item, posted.in_yuan(), posted))",
    ),
    Mutant(
        "what is posted is lost from the position",
        "prepaid/rating.py",
        "        running.append(Running(total.item, cost, posted))",
        "        running.append(Running(total.item, cost, total.posted))",
    ),
    Mutant(
        "a gateway ignores which log the cloud follows",
        "edge/uplink/sync.py",
        "        if cursor.log != store.log:\n",
        "        if cursor.log.int < 0:\n",
    ),
    Mutant(
        "the gateway skips one entry too many",
        "edge/uplink/sync.py",
        "                if entry.seq < expected:\n",
        "                if entry.seq <= expected:\n",
    ),
    Mutant(
        "the gateway takes entries out of order",
        "edge/uplink/sync.py",
        "                if entry.seq > expected:\n",
        "                if entry.seq > expected + 1000:\n",
    ),
    Mutant(
        "a credit wakes nobody",
        "edge/uplink/sync.py",
        'log.info("%s credited to purse %s", transfer.amount, purse)\n'
        "                return lambda: self._agent.wake_purse(purse)",
        'log.info("%s credited to purse %s", transfer.amount, purse)\n'
        "                return lambda: None",
    ),
    Mutant(
        "the gateway believes that it has sent again",
        "edge/uplink/sync.py",
        "self._sent.at + self._resend_s:\n            self._sent = None\n",
        "self._sent.at + self._resend_s:\n            self._sent.at = now\n",
    ),
    Mutant(
        "the cursor moves after the transaction",
        "edge/uplink/sync.py",
        "                self._store.move_cursor(Cursor(entry.log, entry.seq))\n",
        "\n                def later(cursor: Cursor = Cursor(entry.log, entry.seq)) -> None:\n"
        "                    with self._store.transaction():\n"
        "                        self._store.move_cursor(cursor)\n\n"
        "                effects.append(later)\n",
    ),
    Mutant(
        "a charge is posted twice under another cause",
        "edge/booking.py",
        "            self._store.post(transfer)\n        self._store.save_position",
        "            self._store.post(transfer)\n"
        '            self._store.post(replace(transfer, cause=transfer.cause + "+"))\n'
        "        self._store.save_position",
    ),
    Mutant(
        "one look is enough for a cut",
        "prepaid/supply.py",
        "AGREEING = 2\n",
        "AGREEING = 1\n",
    ),
    Mutant(
        "a protected point is cut",
        "prepaid/supply.py",
        "    if _is_protected(policy, situation):\n",
        "    if False:\n",
    ),
    Mutant(
        "the brake is ignored",
        "prepaid/supply.py",
        "    if situation.is_braked:\n",
        "    if False:\n",
    ),
    Mutant(
        "quiet times are ignored",
        "prepaid/supply.py",
        "    if policy.quiet is not None and (end",
        "    if False and (end",
    ),
    Mutant(
        "the end of an override is not noted",
        "edge/uplink/sync.py",
        "                self._store.save_override(id, override)\n",
        "                self._store.save_override(id, override or self._store.override(id))\n",
    ),
    Mutant(
        "the overdraft is forgotten at the cut",
        "prepaid/credit.py",
        "    floor, lent = policy.cut_at - policy.overdraft, policy.emergency\n    if lent is not None and (is",
        "    floor, lent = policy.cut_at, policy.emergency\n    if lent is not None and (is",
    ),
    Mutant(
        "a point is read no sooner for being nearly empty",
        "edge/lines/pace.py",
        "        return min(max(lasts_s, self.interval_s(len(self._near))), self._pace.settle_s)",
        "        return self._pace.settle_s",
    ),
    Mutant(
        "a restored backup is not held",
        "edge/ledger/ledger_file.py",
        'db.execute("UPDATE gateway SET hold = ?", (hold,))',
        'db.execute("UPDATE gateway SET hold = ?", (None,))',
    ),
    Mutant(
        "an old copy of the ledger is not looked for",
        "edge/ledger/store.py",
        "        if noted.acked <= self.last_seq():\n",
        "        if noted.acked <= self.last_seq() + 10**9:\n",
    ),
    Mutant(
        "a second notice is credited again",
        "cloud/services/topups.py",
        "    if _is_booked(topup, payment):\n        return\n",
        "    _is_booked(topup, payment)\n",
    ),
    Mutant(
        "the cloud applies a gap",
        "cloud/services/chain.py",
        "        if entry.seq == up_seq + 1:\n            up_seq",
        "        if entry.seq > up_seq:\n            up_seq",
    ),
    Mutant(
        "the cloud applies old entries again",
        "cloud/services/chain.py",
        "        if entry.seq == up_seq + 1:\n            up_seq",
        "        if entry.seq <= up_seq + 1:\n            up_seq",
    ),
    Mutant(
        "the cloud moves balances by what was booked before",
        "cloud/services/ledger.py",
        "    _move(session, organization_id, [given[id] for id in new])\n",
        "    _move(session, organization_id, list(given.values()))\n",
    ),
    Mutant(
        "the cloud marks an entry as sent that it does not send",
        "cloud/services/downlog.py",
        "    return Batch(gateway.gateway_no, entries, _cursor(gateway))\n",
        "    return Batch(gateway.gateway_no, entries[:-1], _cursor(gateway))\n",
    ),
    Mutant(
        "the cloud sends nothing again",
        "cloud/services/downlog.py",
        "            col(gateway.down_sent_at) <= now - RESEND,\n",
        "            col(gateway.down_sent_at) <= now - 10**6 * RESEND,\n",
    ),
    Mutant(
        "the cloud takes for delivered what is not",
        "cloud/services/uplog.py",
        "    gateway.down_acked = cursor.seq\n    gateway.down_sent_seq = max(",
        "    gateway.down_acked = gateway.down_seq\n    gateway.down_sent_seq = max(",
    ),
    Mutant(
        "a spare gateway is not told what was charged",
        "cloud/services/takeover.py",
        "        yield Carried(to, purse_id, Money(int(fen)))\n",
        "        yield Carried(to, purse_id, Money(0))\n",
    ),
)
SAMPLE = (
    "a remainder is dropped",
    "what is posted is lost from the position",
    "the gateway skips one entry too many",
)


@dataclass(frozen=True, slots=True)
class Caught:
    """What found a mutant: the seed, None if none did, and the invariant."""

    mutant: Mutant
    seed: int | None
    invariant: str
    took_s: float


def plant(mutant: Mutant, tree: Path) -> None:
    """Raises ValueError unless the mutant's text stands in its file once."""
    file = tree / mutant.file
    content = file.read_text()
    if content.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name!r}: its text is {content.count(mutant.old)} times in {mutant.file}, not once"
        )
    file.write_text(content.replace(mutant.old, mutant.new))


def catch(mutant: Mutant, urls: list[str], *, seeds: int, days: int) -> Caught:
    """Plays seeds with the bug planted in a copy of the tree. Raises ValueError, or RuntimeError if nothing runs."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__")
            )
        plant(mutant, Path(folder))
        command = [sys.executable, "-m", "simulators.world", f"--seeds={seeds}", f"--days={days}"]
        done = subprocess.run(
            [*command, *(f"--database={url}" for url in urls)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    took_s = time.monotonic() - began
    if found := FOUND.search(done.stdout):
        return Caught(mutant, int(found[1]), found[2], took_s)
    if done.returncode:
        raise RuntimeError(f"{mutant.name!r} does not run: {done.stderr[-2000:]}")
    return Caught(mutant, None, "", took_s)


def main() -> int:
    """Exit status 0 where every mutant was caught."""
    parser = argparse.ArgumentParser(prog="simulators.world.mutants")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--only", help="those with this in their name")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not given.only or given.only in mutant.name]
    survived = 0
    with serving() as server:
        for number, mutant in enumerate(chosen):
            urls = [make_database(server, f"world_{number}_{job}") for job in range(JOBS)]
            caught = catch(mutant, urls, seeds=given.seeds, days=given.days)
            survived += caught.seed is None
            seed = "SURVIVES" if caught.seed is None else f"seed {caught.seed}"
            _say(f"{mutant.name:<58} {seed:<10} {caught.invariant:<14} {caught.took_s:6.0f} s")
    _say(f"{len(chosen) - survived} of {len(chosen)} caught")
    return 1 if survived else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
