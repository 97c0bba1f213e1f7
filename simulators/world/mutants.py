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

from simulators.world.__main__ import make_database, make_migrated, serving

ROOT = Path(__file__).parents[2]
PACKAGES = ("prepaid", "protocols", "edge", "cloud", "simulators", "wattwell")
JOBS = 2
UNFORESEEN = "crash"  # is no invariant
FOUND = re.compile(r"^seed (\d+) breaks ([^:]+): (.*); again: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: in a file one text, found there once, stands in the place of another. seed is one that finds it."""

    name: str
    file: str
    old: str
    new: str
    seed: int


MUTANTS = (
    Mutant(
        "entries are told before they are on the disk",
        "edge/ledger/store.py",
        "        self.to_disk()\n        return self._up.after(",
        "        return self._up.after(",
        seed=6,
    ),
    Mutant(
        "credits do not wait for the disk",
        "edge/ledger/store.py",
        "waits = not is_derived or self._waiting >= GROUP",
        "waits = False",
        seed=52,
    ),
    Mutant(
        "a remainder is dropped",
        "prepaid/rating.py",
        "        running.append(Running(total.item, cost, posted))",
        "        running.append(Running(total.item, posted.in_yuan(), posted))",
        seed=1,
    ),
    Mutant(
        "what is posted is lost from the position",
        "prepaid/rating.py",
        "        running.append(Running(total.item, cost, posted))",
        "        running.append(Running(total.item, cost, total.posted))",
        seed=1,
    ),
    Mutant(
        "a gateway ignores which log the cloud follows",
        "edge/uplink/succession.py",
        "        if cursor.log != store.log:\n",
        "        if cursor.log.int < 0:\n",
        seed=7,
    ),
    Mutant(
        "the gateway skips one entry too many",
        "edge/uplink/sync.py",
        "                if entry.seq < expected:\n",
        "                if entry.seq <= expected:\n",
        seed=1,
    ),
    Mutant(
        "the gateway takes entries out of order",
        "edge/uplink/sync.py",
        "                if entry.seq > expected:\n",
        "                if entry.seq > expected + 1000:\n",
        seed=6,
    ),
    Mutant(
        "a credit wakes nobody",
        "edge/uplink/downlog.py",
        "                wake = partial(self._agent.wake_purse, purse)\n"
        '                text = "%s credited to purse %s"\n',
        "                wake = partial(self._agent.wake, [])\n"
        '                text = "%s credited to purse %s"\n',
        seed=18,
    ),
    Mutant(
        "the gateway believes that it has sent again",
        "edge/uplink/sync.py",
        "self._sent.at + self._resend_s:\n            self._sent = None\n",
        "self._sent.at + self._resend_s:\n            self._sent.at = now\n",
        seed=1,
    ),
    Mutant(
        "the cursor moves after the transaction",
        "edge/uplink/sync.py",
        "                self._store.move_cursor(Cursor(entry.log, entry.seq))\n",
        "\n                def later(cursor: Cursor = Cursor(entry.log, entry.seq)) -> None:\n"
        "                    with self._store.transaction():\n"
        "                        self._store.move_cursor(cursor)\n\n"
        "                effects.append(later)\n",
        seed=1,
    ),
    Mutant(
        "a charge is posted twice under another cause",
        "edge/booking.py",
        "            self._store.post(transfer)\n        self._store.save_position",
        "            self._store.post(transfer)\n"
        '            self._store.post(replace(transfer, cause=transfer.cause + "+"))\n'
        "        self._store.save_position",
        seed=1,
    ),
    Mutant(
        "one look is enough for a cut",
        "prepaid/supply.py",
        "AGREEING = 2\n",
        "AGREEING = 1\n",
        seed=1,
    ),
    Mutant(
        "a protected point is cut",
        "prepaid/supply.py",
        "    if _is_protected(policy, situation):\n",
        "    if False:\n",
        seed=9,
    ),
    Mutant(
        "the brake is ignored",
        "prepaid/supply.py",
        "    if situation.is_braked:\n",
        "    if False:\n",
        seed=35,
    ),
    Mutant(
        "quiet times are ignored",
        "prepaid/supply.py",
        "    if policy.quiet is not None and (end",
        "    if False and (end",
        seed=8,
    ),
    Mutant(
        "the end of an override is not noted",
        "edge/uplink/downlog.py",
        "                self._store.save_override(id, override)\n",
        "                self._store.save_override(id, override or self._store.override(id))\n",
        seed=32,
    ),
    Mutant(
        "the overdraft is forgotten at the cut",
        "prepaid/credit.py",
        "    floor, lent = policy.cut_at - policy.overdraft, policy.emergency\n    if lent is not None and (is",
        "    floor, lent = policy.cut_at, policy.emergency\n    if lent is not None and (is",
        seed=1,
    ),
    Mutant(
        "a point is read no sooner for being nearly empty",
        "edge/lines/pace.py",
        "        return min(max(lasts_s, self.interval_s(len(self._near))), self._pace.settle_s)",
        "        return self._pace.settle_s",
        seed=17,
    ),
    Mutant(
        "a ledger that is rebuilt is not served",
        "edge/uplink/downlog.py",
        "                return self._rebuilt\n",
        "                return lambda: None\n",
        seed=7,
    ),
    Mutant(
        "where metering stood is not rebuilt",
        "edge/uplink/downlog.py",
        "                standing.save(store, message)\n",
        "",
        seed=3,
    ),
    Mutant(
        "a second notice is credited again",
        "cloud/services/crediting.py",
        "    if _is_booked(topup, payment):\n        return\n",
        "    _is_booked(topup, payment)\n",
        seed=4,
    ),
    Mutant(
        "the cloud does not go on with the chain",
        "cloud/services/chain.py",
        "                up_hash = hashes[entry.seq] = own_hash\n",
        "                hashes[entry.seq] = own_hash\n"
        "                up_hash = up_hash or own_hash\n",
        seed=1,
    ),
    Mutant(
        "the last entry of a message is not applied",
        "cloud/services/uplog.py",
        "        messages = [entries.checked(parsed[entry.seq], points) for entry in new]\n",
        "        messages = [entries.checked(parsed[entry.seq], points) for entry in new[:-1] or new]\n",
        seed=1,
    ),
    Mutant(
        "a purse pays one charge of a message alone",
        "cloud/services/ledger.py",
        "        SELECT %(organization)s, m.purse, sum(m.fen)\n",
        "        SELECT %(organization)s, m.purse, min(m.fen)\n",
        seed=1,
    ),
    Mutant(
        "the cloud marks an entry as sent that it does not send",
        "cloud/services/downlog.py",
        "    return Batch(gateway.gateway_no, entries, _cursor(gateway))\n",
        "    return Batch(gateway.gateway_no, entries[:-1], _cursor(gateway))\n",
        seed=1,
    ),
    Mutant(
        "the cloud sends nothing again",
        "cloud/services/downlog.py",
        "    return now - RESEND\n",
        "    return now - 10**6 * RESEND\n",
        seed=11,
    ),
    Mutant(
        "a spare gateway is not told what was charged",
        "cloud/services/takeover.py",
        "        yield Carried(to, purse_id, Money(int(fen)))\n",
        "        yield Carried(to, purse_id, Money(0))\n",
        seed=6,
    ),
    Mutant(
        "what a code gave stays when its credit comes",
        "edge/ledger/store.py",
        "            self._move(book, -typed.amount.fen)\n"
        "        self._credits.save(book, max(last, number))\n"
        "        return is_new\n",
        "        self._credits.save(book, max(last, number))\n        return is_new\n",
        seed=6,
    ),
    Mutant(
        "a refund is booked whatever the purse holds",
        "edge/uplink/withdrawing.py",
        "    if store.balance(purse) - asked.transfer.amount < ZERO:\n",
        "    if False:\n",
        seed=4,
    ),
    Mutant(
        "a refund is paid out before the gateway has booked it",
        "cloud/services/money/withdrawals.py",
        "    is_asked = bool(gateways) and purse.given_up_at is None\n",
        "    is_asked = False\n",
        seed=4,
    ),
    Mutant(
        "water comes back and nobody asks for the taps",
        "prepaid/supply.py",
        "    if is_long and not situation.are_taps_closed:\n",
        "    if False:\n",
        seed=8,
    ),
    Mutant(
        "what a meter counted before it was exchanged is lost",
        "prepaid/resolution.py",
        "        moved = _moved(before, change.closing, meter, change.rounds - is_past)\n",
        "        moved = Decimal(0)\n",
        seed=2,
    ),
    Mutant(
        "a meter that went past its last digit is charged a whole round at its exchange",
        "prepaid/resolution.py",
        "meter, change.rounds - is_past)",
        "meter, change.rounds)",
        seed=351,
    ),
    Mutant(
        "emergency credit that was taken is not lent",
        "prepaid/credit.py",
        "    if lent is not None and (is_emergency_taken or lent.is_automatic):\n        return floor - lent.amount",
        "    if lent is not None and lent.is_automatic:\n        return floor - lent.amount",
        seed=38,
    ),
)
SAMPLE = (  # each with another seed, as they share a database
    "a remainder is dropped",
    "the gateway takes entries out of order",
    "quiet times are ignored",
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
    """Plays the seed that is known to find the bug in a copy of the tree with it; then so many from 1 on.

    urls are of migrated databases: one for that seed, the others for the campaign, if there is one.

    Raises ValueError, or RuntimeError if nothing runs.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__")
            )
        plant(mutant, Path(folder))
        known = (f"--seed={mutant.seed}", f"--days={days}")
        found = _play(mutant, Path(folder), urls[:1], *known)
        if found is None and seeds:
            many = (f"--seeds={seeds}", f"--days={days}")
            found = _play(mutant, Path(folder), urls[1:], *many)
    took_s = time.monotonic() - began
    if found is None:
        return Caught(mutant, None, "", took_s)
    return Caught(mutant, int(found[1]), found[2], took_s)


def _play(mutant: Mutant, tree: Path, urls: list[str], *given: str) -> re.Match[str] | None:
    """What the program in this tree says of the first seed that fails."""
    command = [sys.executable, "-m", "simulators.world", *given]
    done = subprocess.run(
        [*command, *(f"--database={url}" for url in urls)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = FOUND.search(done.stdout)
    if found is None and done.returncode:
        raise RuntimeError(f"{mutant.name!r} does not run: {done.stderr[-2000:]}")
    return found


def main() -> int:
    """Exit status 0 where every mutant was caught by an invariant."""
    parser = argparse.ArgumentParser(prog="simulators.world.mutants")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--only", help="those with this in their name")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not given.only or given.only in mutant.name]
    survived = 0
    with serving() as server:
        migrated = make_migrated(server)
        for number, mutant in enumerate(chosen):
            names = [f"world_{number}_{job}" for job in range(JOBS + 1)]
            urls = [make_database(server, migrated, name) for name in names]
            caught = catch(mutant, urls, seeds=given.seeds, days=given.days)
            for name in names:
                server.drop_database(name)
            survived += caught.seed is None or caught.invariant == UNFORESEEN
            seed = "SURVIVES" if caught.seed is None else f"seed {caught.seed}"
            _say(f"{mutant.name:<58} {seed:<10} {caught.invariant:<14} {caught.took_s:6.0f} s")
    _say(f"{len(chosen) - survived} of {len(chosen)} caught")
    return 1 if survived else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
