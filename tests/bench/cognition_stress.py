"""Writers, readers and kills on one cognition base: is any revision lost?

`python tests/bench/cognition_stress.py --seconds 60` starts four writers (edits with the revision they were made from,
switches, files saved by hand with a sync) and two readers as processes of their own, kills one again and again at an
arbitrary instant and starts another in its place. A writer notes every revision that the base acknowledged in a file of
its own, after the call returned. At the end every noted revision must be in the history with its text, histories must
have no holes, files and base must agree, and `PRAGMA integrity_check` must say ok.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cognition.collection import Collection
from cognition.store import BaseError, CognitionError, Conflict, Store
from cognition.sync import Sync

_PRIORS = 8
_WRITERS, _READERS = 4, 2


def main() -> None:
    """Run the stress, or one of its processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--act", choices=["write", "read"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.act == "write":
        _write(options.folder, random.Random(options.seed))
    elif options.act == "read":
        _read(options.folder)
    else:
        with tempfile.TemporaryDirectory(prefix="evolve-stress-") as folder:
            print(json.dumps(stress(Path(folder), options.seconds, options.seed)))


def stress(folder: Path, seconds: float, seed: int = 0) -> dict[str, object]:
    """Let them loose for a while; returns what was counted, `lost` and `integrity` among it."""
    rng = random.Random(seed)
    with _open(folder) as collection:
        for number in range(_PRIORS):
            collection.add(f"p{number}", f"# Prior {number}\n")
    (folder / "noted").mkdir()
    acts = ["write"] * _WRITERS + ["read"] * _READERS
    living = [_start(folder, act, rng.getrandbits(32)) for act in acts]
    kills, failed, noted = 0, [], 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or not kills:
        noted = _wait_for_notes(folder, noted)
        time.sleep(0.4 * rng.random())
        index = rng.randrange(len(living))
        victim = living[index]
        if victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            kills += 1
        else:
            failed.append(f"a process to {acts[index]} ended with {victim.returncode}")
        victim.wait()
        living[index] = _start(folder, acts[index], rng.getrandbits(32))
    for process in living:
        process.kill()
        process.wait()
    return {"seconds": seconds, "kills": kills, "failed": failed} | _check(folder)


def _wait_for_notes(folder: Path, noted: int) -> int:
    """Wait until the writers have noted more than `noted` bytes, which takes long on a loaded machine."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = sum(path.stat().st_size for path in (folder / "noted").iterdir())
        if now > noted:
            return now
        time.sleep(0.02)
    raise TimeoutError("no writer has noted a revision for 60 s")


def _start(folder: Path, act: str, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--act", act, "--folder", str(folder), "--seed", str(seed)]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})


@contextlib.contextmanager
def _open(folder: Path):  # type: ignore[no-untyped-def]
    with Store(folder / "cognition.db", busy_seconds=30) as store:
        yield Collection(store, "stress", "stress", folder / "priors")


def _write(folder: Path, rng: random.Random) -> None:
    """Edit for ever, noting what was acknowledged."""
    with _open(folder) as collection, (folder / "noted" / f"{os.getpid()}.jsonl").open("a") as notes:
        sync = Sync(collection, wait_seconds=30)
        while True:
            name = f"p{rng.randrange(_PRIORS)}"
            text = f"# {name}\n\n{os.getpid()} {rng.getrandbits(64):x}\n" + "word " * rng.randrange(200)
            with contextlib.suppress(Conflict):
                match rng.randrange(8):
                    case 0:
                        entry = collection.set_enabled(name, rng.random() < 0.5)
                    case 1:
                        entry = collection.set_weight(name, rng.choice([0.5, 1.0, 2.0]))
                    case 2:
                        sync.run()
                        continue
                    case 3 if (folder / "priors").is_dir():
                        partial = folder / f"{os.getpid()}.partial"
                        partial.write_text(text)
                        # Noted before: from here on the text is somebody's work, wherever a kill comes.
                        partial.replace(folder / "priors" / f"{name}.md")
                        continue
                    case _:
                        before = collection.get(name)
                        time.sleep(rng.random() / 500)
                        entry = collection.edit(name, text, before.prior.number)
                noted = {"id": entry.id, "number": entry.prior.number, "sha256": entry.prior.revision}
                notes.write(json.dumps(noted) + "\n")
                notes.flush()


def _read(folder: Path) -> None:
    """Read for ever; what is read is whole."""
    with _open(folder) as collection:
        while True:
            for prior in collection.priors():
                assert prior.revision == hashlib.sha256(prior.text.encode()).hexdigest()
            for entry in collection.entries():
                numbers = [revision.number for revision in collection.history(entry.id)]
                assert numbers == list(range(1, len(numbers) + 1)), f"{entry.id} has a hole: {numbers}"


def _check(folder: Path) -> dict[str, object]:
    """What is left when all are dead."""
    notes = [json.loads(line) for path in (folder / "noted").iterdir() for line in _whole_lines(path)]
    with _open(folder) as collection:
        integrity = collection.store.connection.execute("PRAGMA integrity_check").fetchone()[0]
        histories = {entry.id: collection.history(entry.id) for entry in collection.entries()}
        lost = [
            note
            for note in notes
            if note["number"] > len(histories[note["id"]])
            or histories[note["id"]][note["number"] - 1].sha256 != note["sha256"]
        ]
        holes = [
            name for name, found in histories.items() if [r.number for r in found] != list(range(1, len(found) + 1))
        ]
        sync = Sync(collection)
        sync.run()
        agree = sync.run().changes == [] and all(
            (folder / "priors" / f"{entry.id}.md").read_text() == entry.prior.text for entry in collection.entries()
        )
        conflicts = len(list((folder / "priors").glob("*.conflict-*.md")))
    return {
        "revisions": sum(map(len, histories.values())), "noted": len(notes), "lost": len(lost), "holes": holes,
        "conflicts_kept": conflicts, "files_agree": agree, "integrity": integrity,
    }  # fmt: skip


def _whole_lines(path: Path) -> list[str]:
    """Lines of a file whose writer may have been killed within the last one."""
    return path.read_text().split("\n")[:-1]


if __name__ == "__main__":
    try:
        main()
    except (BaseError, CognitionError) as exc:
        sys.exit(f"{type(exc).__name__}: {exc}")
