"""What survives kills, torn logs, rotten bits and full disks: real processes import real blocks, and die.

    python -m bench.crash [--kills 300] [--torn 200] [--rot 100] [--full 50] [--json FILE]

A writer imports blocks of the development chain (transfers, forks, justifications) and tells of each that it
is acknowledged. It is killed at a seeded moment: any one, or just before, within or just after a write. A
second process opens what is left and compares it with the blocks: acknowledged ones are there, the flat state
has the root of its header, the trie's branches are those of a fresh build, old states have theirs; then the
writer goes on. Torn logs and rotten files are made in copies. Full disks are small tmpfs mounts, which need
root; 0 leaves them out. The figures count outcomes; "wrong" is what must stay 0.
"""

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.crash_chain import MODES, Death, Moment, examine, make, write
from bench.record import finish, parser

BLOCKS = 240
"""height of the chain that is imported over and over"""
MOMENTS = (Moment.ANY, Moment.ANY, Moment.BEFORE, Moment.DURING, Moment.DURING, Moment.AFTER)
LONGEST_RUN = 0.6
"""seconds until a kill at any moment, from the opening on"""
LAST_WRITE = 30
"""writes a run survives at most"""
LONGEST_WRITE = 0.004
"""seconds into a write; synced ones take about as long"""
AFTERWARDS = 3
"""blocks that a mended database must still import"""
SECTOR = 512
"""bytes that rot together"""
DISK = 24
"""MiB of a small disk"""
ROOM = 600_000
"""bytes left on it at most"""
TOLD_EVERY = 25
"""trials between two lines on standard error"""
PATIENCE = 120.0
"""seconds any step may take"""

_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(["bench.crash_chain"])


@dataclass
class Run:
    """The chain being written: where, how it is pruned, and what has been acknowledged."""

    database: Path
    mode: str
    acknowledged: list[tuple[str, bytes]] = field(default_factory=list)


class Campaign:
    """One series of trials; seeded, so that it can be repeated."""

    def __init__(self, home: Path, seed: int, blocks: int = BLOCKS) -> None:
        self.rng = random.Random(seed)
        self.home = home
        self.file = home / "blocks"
        self.verdicts: Counter[str] = Counter()
        self.findings: list[str] = []
        self._run(make, self.file, blocks, seed)

    def kill(self, count: int) -> dict[str, Any]:
        """Kill a writer so many times; examine what each kill leaves."""
        done: Counter[str] = Counter()
        chains = acknowledged = 0
        run = self._fresh(chains)
        while sum(done.values()) < count:
            death = self._death(MOMENTS[sum(done.values()) % len(MOMENTS)])
            finished = self.write(run, death, self.rng.uniform(0, LONGEST_RUN))
            verdict = self.examine(run)
            if finished:
                acknowledged += len(run.acknowledged)
                chains += 1
                shutil.rmtree(run.database)
                run = self._fresh(chains)
            else:
                done[death.moment] += 1
                self._note("kill", verdict)
        acknowledged += len(run.acknowledged)
        figures = {"kills": sum(done.values()), **done, "whole_chains": chains, "acknowledged": acknowledged}
        return figures | self._outcomes("kill")

    def tear(self, count: int) -> dict[str, Any]:
        """Cut or garble the end of the newest log of killed databases; each must open at an earlier batch."""
        lower = 0
        for trial in range(count):
            if trial % 10 == 0:
                run = self._killed()
                whole = self._copied(run)
                best = self.examine(whole)[1]
                shutil.rmtree(whole.database)
            copy = self._copied(run)
            _tear(self.rng, copy.database)
            verdict = self._mended("torn", copy)
            if verdict[0] == "sound" and verdict[1] < best:
                lower += 1
        return {"torn": count, "opened_at_an_earlier_batch": lower, **self._outcomes("torn")}

    def rot(self, count: int) -> dict[str, Any]:
        """Damage tables and older logs; each must be refused, or make no difference."""
        for trial in range(count):
            if trial % 10 == 0:
                run = self._killed()
                self.examine(run)  # flushes the log into tables
            copy = self._copied(run)
            _rot(self.rng, copy.database)
            verdict = self.examine(copy, seed=trial)
            self._note("rot", verdict)
            shutil.rmtree(copy.database)
        return {"rotten": count, **self._outcomes("rot")}

    def fill(self, count: int) -> dict[str, Any]:
        """Fill a small disk while a writer works; it must stop, and go on once there is room."""
        messages: Counter[str] = Counter()
        for trial in range(count):
            with _small_disk(self.home / "disk") as disk:
                run = Run(disk / "db", MODES[trial % len(MODES)])
                self.write(run, Death(), self.rng.uniform(0, LONGEST_RUN))
                filler = disk / "filler"
                _leave(filler, disk, self.rng.randrange(ROOM))
                said = self._stopped(run)
                messages[re.sub(r" at \S+", "", said).split(":")[0]] += 1
                if not said.startswith("the database "):
                    self._note("full", ("wrong", f"the writer did not stop: {said}"))
                filler.unlink()
                self._note("full", self.examine(run, seed=trial))
                self._go_on(run)
        return {"full_disks": count, "said": dict(messages), **self._outcomes("full")}

    def write(self, run: Run, death: Death, seconds: float, limit: int | None = None) -> bool:
        """Let a writer work until it dies; say whether it came to the end of its blocks instead."""
        told, process = self._start(write, run.database, self.file, run.mode, death, limit)
        deadline = time.monotonic() + seconds if death.moment is Moment.ANY and limit is None else None
        finished = False
        for what, name in _said(told, process, deadline):
            if what in ("imported", "finalized"):
                run.acknowledged.append((what, name))
            finished = finished or what == "done"
            if what == "stopped":
                raise RuntimeError(f"the writer stopped: {name.decode()}")
        _end(process)
        return finished

    def examine(self, run: Run, seed: int = 0) -> tuple[str, Any]:
        """Return the verdict on a database."""
        told, process = self._start(examine, run.database, self.file, run.mode, run.acknowledged, seed)
        verdict = next(_said(told, process, None), ("crashed", "the examiner ended without a word"))
        _end(process)
        return verdict

    def _stopped(self, run: Run) -> str:
        told, process = self._start(write, run.database, self.file, run.mode, Death(), None)
        for what, name in _said(told, process, None):
            if what in ("imported", "finalized"):
                run.acknowledged.append((what, name))
            if what in ("stopped", "done"):
                _end(process)
                return name.decode() if process.exitcode == 1 else f"exit code {process.exitcode}"
        _end(process)
        return f"ended with {process.exitcode}, without a word"

    def _killed(self) -> Run:
        """Return a chain that has been killed a few times."""
        run = self._fresh(self.rng.randrange(len(MODES)))
        for _ in range(4):
            self.write(run, self._death(Moment.DURING), 0)
        return run

    def _copied(self, run: Run) -> Run:
        copy = Run(self.home / "copy", run.mode)
        shutil.copytree(run.database, copy.database)
        return copy

    def _mended(self, kind: str, copy: Run) -> tuple[str, Any]:
        """Examine a damaged copy, let it go on, examine it again and drop it."""
        verdict = self.examine(copy)
        self._note(kind, verdict)
        if verdict[0] == "sound":
            self._go_on(copy)
        shutil.rmtree(copy.database)
        return verdict

    def _go_on(self, run: Run) -> None:
        self.write(run, Death(), 0, AFTERWARDS)
        verdict = self.examine(run)
        if verdict[0] != "sound":
            self.findings.append(f"after going on: {verdict}")
            self.verdicts["did not go on"] += 1

    def _death(self, moment: Moment) -> Death:
        return Death(moment, self.rng.randint(1, LAST_WRITE), self.rng.uniform(1e-6, LONGEST_WRITE))

    def _fresh(self, turn: int) -> Run:
        database = self.home / "db"
        shutil.rmtree(database, ignore_errors=True)
        return Run(database, MODES[turn % len(MODES)])

    def _note(self, kind: str, verdict: tuple[str, Any]) -> None:
        self.verdicts[f"{kind} {verdict[0]}"] += 1
        done = sum(self._outcomes(kind).values())
        if done % TOLD_EVERY == 0:
            print(f"{kind}: {done} done, {len(self.findings)} findings", file=sys.stderr)
        if verdict[0] in ("wrong", "crashed"):
            self.findings.append(f"{kind}: {verdict}")

    def _outcomes(self, kind: str) -> dict[str, int]:
        return {word: self.verdicts[f"{kind} {word}"] for word in ("sound", "refused", "crashed", "wrong")}

    def _start(self, work: Callable[..., None], *given: object) -> tuple[Connection, BaseProcess]:
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=work, args=(*given, theirs))
        process.start()
        theirs.close()
        return ours, process

    def _run(self, work: Callable[..., None], *given: object) -> None:
        process = _PROCESSES.Process(target=work, args=given)
        process.start()
        process.join()
        assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}"


def main() -> None:
    """Run the campaigns and print what came of them."""
    flags = parser(__doc__)
    for name, count in (("kills", 300), ("torn", 200), ("rot", 100), ("full", 0)):
        flags.add_argument(f"--{name}", type=int, default=count, metavar="COUNT", help=f"[{count}]")
    flags.add_argument("--seed", type=int, default=1, help="[1]")
    given = flags.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-crash-") as home:
        campaign = Campaign(Path(home), given.seed)
        figures: dict[str, object] = {
            "seed": given.seed,
            "kill": campaign.kill(given.kills),
            "torn_log": campaign.tear(given.torn),
            "bit_rot": campaign.rot(given.rot),
            "full_disk": campaign.fill(given.full),
        }
    figures["did_not_go_on"] = campaign.verdicts["did not go on"]
    figures["findings"] = campaign.findings
    figures["seconds"] = round(time.monotonic() - began)
    finish("crash", figures, given)


def _said(told: Connection, process: BaseProcess, deadline: float | None) -> Iterator[tuple[str, Any]]:
    """Yield what a process says until it ends; kill it at the deadline."""
    last = time.monotonic() + PATIENCE
    while True:
        left = (last if deadline is None else deadline) - time.monotonic()
        if not told.poll(max(0.0, left)):
            assert deadline is not None, f"{process} says nothing for {PATIENCE} s"
            process.kill()
            deadline = None
            continue
        try:
            yield told.recv()
        except EOFError:
            return


def _end(process: BaseProcess) -> None:
    process.join(PATIENCE)
    assert process.exitcode is not None, f"{process} does not end"


def _tear(rng: random.Random, database: Path) -> None:
    """Lose the end of the newest log, or find something else there."""
    log = max(database.glob("*.log"), key=lambda path: int(path.stem))
    content = log.read_bytes()
    cut = rng.randrange(len(content) + 1)
    garbage = rng.randbytes(rng.randrange(1, 400)) if rng.random() < 0.5 else b""
    log.write_bytes(content[:cut] + garbage)


def _rot(rng: random.Random, database: Path) -> None:
    """Flip a bit, or lose a sector or the end, of a table or an older log."""
    logs = sorted(database.glob("*.log"), key=lambda path: int(path.stem))[:-1]
    victim = rng.choice([*sorted(database.glob("*.sst")), *logs])
    content = bytearray(victim.read_bytes())
    at = rng.randrange(len(content))
    match rng.randrange(4):
        case 0 | 1:
            content[at] ^= 1 << rng.randrange(8)
        case 2:
            content[at : at + SECTOR] = bytes(len(content[at : at + SECTOR]))
        case _:
            del content[at:]
    victim.write_bytes(content)


@contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    """Mount a small disk in memory; needs root."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _leave(filler: Path, disk: Path, room: int) -> None:
    """Fill a disk but for so many bytes."""
    filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - room)))


if __name__ == "__main__":
    main()
