"""Score a program in a container of its own, by SkyDiscover's evaluate.sh or by the tests of a Harbor task."""

import contextlib
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import evolve_task

FOLDER = Path(__file__).absolute().parent / "task"
LABEL = "evolve-evaluation"
# Whoever holds its input may vanish: the container then ends by itself.
GUARD = "exec 3<&0 </dev/null; (cat <&3; kill -s KILL -- -1) >/dev/null 2>&1 & exec 3<&-; "
SKYDISCOVER = GUARD + '/benchmark/evaluate.sh "$0" train'
HARBOR = GUARD + (
    'chmod +x /tests/test.sh; /tests/test.sh >&2; echo "test.sh ended with exit code $?" >&2; '
    'cd /logs/verifier; for name in json txt; do echo; echo "reward $name"; cat reward.$name 2>/dev/null; done; true'
)
GRACE = 20.0


def evaluate(program_path, report):
    settings = report.settings
    tool = Tool(settings)
    image = tool.image(Path(report.scratch) / "context")
    code = Path(program_path).read_bytes()
    if settings["kind"] == "harbor":
        files = {settings["path"]: code, **folder(FOLDER / "tests", "/tests")}
        return reward(tool.run(image, HARBOR, [], files))
    place = f"/tmp/{uuid.uuid4().hex}.py"
    return scores(tool.run(image, SKYDISCOVER, [place], {place: code}))


class Tool:
    """docker or podman."""

    def __init__(self, settings):
        self.name, self.settings = settings["tool"], settings
        # Layers of images do not belong into the scratch folder.
        self.environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}

    def call(self, *words, given=None, may_fail=False):
        """Run a command of the tool and return its output; None if it fails, as it may, else RuntimeError then."""
        done = subprocess.run([self.name, *words], input=given, capture_output=True, env=self.environment, check=False)
        if done.returncode and may_fail:
            return None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
            print(said, file=sys.stderr)
            raise RuntimeError(f"'{self.name} {words[0]}' fails: {said.splitlines()[-1]}")
        return done.stdout

    def image(self, copy):
        """Return the tag of the task's image; build it if there is none, from a copy of its files."""
        context = FOLDER / self.settings["context"]
        digest = hashlib.sha256()
        for path in files_of(context):
            digest.update(f"{path.relative_to(context)}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                for part in iter(lambda: file.read(1 << 20), b""):
                    digest.update(part)
        tag = f"evolve/{self.settings['name'].lower()}:{digest.hexdigest()[:16]}"
        with open(context / "Dockerfile") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # evaluations that start together build it once
            if self.call("image", "inspect", tag, may_fail=True) is None:
                shutil.copytree(context, copy)
                for path in files_of(copy):
                    with open(path, "rb") as file:
                        # A run keeps contents alone.
                        path.chmod(0o755 if file.read(2) == b"#!" else 0o644)
                self.call("build", "-t", tag, str(copy))
                shutil.rmtree(copy)
        return tag

    def run(self, image, script, arguments, files):
        """Return the output of a script in a container that has these files."""
        for left in self.call("ps", "-a", "--filter", f"label={LABEL}", "--format", "{{.Names}}").decode().split():
            if is_abandoned(left):
                self.call("rm", "-f", left, may_fail=True)
        name = f"evolve-{'-'.join(identity(os.getpid()))}-{uuid.uuid4().hex[:8]}"
        self.call("create", *self.options(name), image, "-c", script, *arguments)
        try:
            self.call("cp", "-", f"{name}:/", given=archive(files))
            return self.start(name)
        finally:
            self.call("rm", "-f", name, may_fail=True)

    def options(self, name):
        words = ["-i", "--name", name, "--label", LABEL, "--entrypoint", "/bin/sh"]
        words += ["--security-opt", "no-new-privileges"]
        if not self.settings["network"]:
            words += ["--network", "none"]
        if self.name == "docker":  # podman's processes are counted like all others of this evaluation
            memory = f"{self.settings['memory_mb']}m"
            words += ["--memory", memory, "--memory-swap", memory, "--pids-limit", "512"]
            words += ["--cpus", os.environ.get("OMP_NUM_THREADS", "1")]
        return words

    def start(self, name):
        """Run a container that is made, and return what it prints; its time is limited."""
        seconds = self.settings["seconds"]
        ours, theirs = os.pipe()
        try:
            process = subprocess.Popen(
                [self.name, "start", "-a", "-i", name],
                stdin=ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment,
            )  # fmt: skip
            os.close(ours)
            try:
                output, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.close(theirs)
                theirs = -1
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=GRACE)
                raise evolve_task.CandidateTimeout(f"no result within {seconds:g} s") from None
        finally:
            if theirs >= 0:
                os.close(theirs)
        said = errors.decode("utf-8", "replace")
        print(said, end="", file=sys.stderr)
        if process.returncode:
            last = (said.strip().splitlines() or [""])[-1]
            raise evolve_task.CandidateError(f"the evaluation ended with exit code {process.returncode}: {last}")
        return output.decode("utf-8", "replace")


def identity(process):
    """Return what is the same for no other process: its PID namespace, its number, and when it was started.

    The first namespace of every machine has the same number, and several machines may use one docker: with it stands
    what is new at each boot. Processes of other users may be out of sight, so that the user stands there, too.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "").strip()
    space = f"{Path('/proc/self/ns/pid').stat().st_ino}x{boot[:16]}x{os.getuid()}"
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [space, f"{process}", "ended"]
    return [space, f"{process}", fields[19]]


def is_abandoned(name):
    """Return whether a container is of this user's evaluation here that was ended before it could remove it."""
    owner = name.split("-")[1:-1]
    return len(owner) == 3 and owner[1].isdigit() and owner[0] == identity(1)[0] and identity(owner[1]) != owner


def files_of(place):
    """Return the files in a folder, sorted."""
    return sorted(path for path in place.rglob("*") if path.is_file())


def folder(place, root):
    """Return the contents of a folder by their paths below a root."""
    return {f"{root}/{path.relative_to(place).as_posix()}": path.read_bytes() for path in files_of(place)}


def archive(files):
    """Return a tar archive of files by their absolute paths, with Harbor's folders for results."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as tar:
        for name in ("logs/verifier", "logs/agent", "logs/artifacts") if "/tests/test.sh" in files else ():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return kept.getvalue()


def scores(output):
    """Return metrics of what evaluate.sh printed."""
    try:
        found = json.loads(output.strip())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise evolve_task.Invalid(f"evaluate.sh printed no JSON object: {output.strip()[:200]!r}")
    artifacts = found.get("artifacts") if isinstance(found.get("artifacts"), dict) else {}
    metrics = found.get("metrics") if isinstance(found.get("metrics"), dict) else {}
    status = found.get("status", "error")
    if status == "timeout":
        raise evolve_task.CandidateTimeout(str(artifacts.get("error") or "evaluate.sh says that its time was up"))
    if status != "success":
        raise evolve_task.Invalid(str(artifacts.get("error") or f"evaluate.sh says: {status}"))
    kept = {name: value for name, value in metrics.items() if is_number(value)}
    score = kept.pop("combined_score", found.get("combined_score"))
    if not is_number(score):
        raise evolve_task.Invalid(f"combined_score is {score!r}, no finite number")
    result = {**kept, "combined_score": score}
    if artifacts:
        result["artifacts"] = {str(name): str(value) for name, value in artifacts.items()}
    return result


def reward(output):
    """Return metrics of the files in which Harbor's tests write the reward; the one in JSON goes first."""
    _, _, rest = output.partition("\nreward json\n")
    table, _, number = rest.partition("\nreward txt\n")
    try:
        found = json.loads(table)
    except ValueError:
        found = None
    if isinstance(found, dict):
        score = found.get("reward", found.get("score"))
        kept = {name: value for name, value in found.items() if name not in ("reward", "score") and is_number(value)}
        if is_number(score):
            return {**kept, "combined_score": score}
    try:
        score = float(number)
    except ValueError:
        raise evolve_task.Invalid("tests/test.sh wrote no reward") from None
    if not math.isfinite(score):
        raise evolve_task.Invalid(f"the reward is {score}, no finite number")
    return {"combined_score": score}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
