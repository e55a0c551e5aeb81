"""Stands in for SLURM's commands where a test needs what no cluster here has, such as GPUs.

Its first argument is the name of the command: `sbatch`, `squeue`, `scancel` or `sinfo`. A job is a process of its own;
the folder `$SBATCH_STUB` keeps what is known of it. A file `lose` there makes sbatch end without an answer once, after
it has taken the job; a file `mute` makes squeue fail once. As long as there is a file `hang`, scancel does nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Do what the command does."""
    folder = Path(os.environ["SBATCH_STUB"])
    name, *arguments = sys.argv[1:]
    jobs = sorted(folder.glob("job-*.json"))
    if name == "sinfo":
        print((folder / "machines").read_text(), end="")
    elif name == "sbatch":
        options = dict(word.removeprefix("--").partition("=")[::2] for word in arguments)
        devices = {"CUDA_VISIBLE_DEVICES": "5"} if "gpu:" in options.get("gres", "") else {}
        with open(options["output"], "wb") as log:
            process = subprocess.Popen(
                ["/bin/sh"], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "SLURMD_NODENAME": "gamma", **devices},
            )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(sys.stdin.buffer.read())
        process.stdin.close()
        process.returncode = 0  # it is left to run
        number = len(jobs) + 1
        job = {"id": number, "pid": process.pid, "arguments": arguments, "name": options["job-name"]}
        (folder / f"job-{number}.json").write_text(json.dumps(job))
        if (folder / "lose").exists():
            (folder / "lose").unlink()
            sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
        print(number)
    elif name == "squeue":
        if (folder / "mute").exists():
            (folder / "mute").unlink()
            sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        for path in jobs:
            job = json.loads(path.read_text())
            state = "RUNNING" if _is_running(job["pid"]) else "COMPLETED"
            print(f"{job['id']}|{state}|gamma|None|{job['name']}")
    elif name == "scancel":
        while (folder / "hang").exists():
            time.sleep(0.05)
        for path in jobs:
            job = json.loads(path.read_text())
            if str(job["id"]) in arguments and _is_running(job["pid"]):
                os.killpg(job["pid"], signal.SIGTERM)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


main()
