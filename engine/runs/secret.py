"""The seeds of data and held-out draws: from the run's secret, which no program can know, or from a known number."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from engine.errors import RunError
from engine.state.run_state import RunState

__all__ = ["DataSeeds", "EvaluationSeeds", "commitment_of", "copy_secret", "make_secret", "open_data_seeds", "open_key"]

_NAME = "secret"
_KEY = "key"
_SIZE = 32


class EvaluationSeeds(NamedTuple):
    """The seeds of one evaluation. None of them tells anything about another."""

    seed: int
    """31 bits: any draw of an evaluator that knows no other seed."""
    data: int
    """63 bits, too many to try one by one: data that a candidate is judged on."""
    sandbox: int
    """31 bits: the seed that a candidate's process may see."""


class DataSeeds:
    """Derive the seeds of every evaluation of a run; the same stage and repeat always has the same ones.

    Args:
        secret: the run's secret; None if the seeds are derived from `known`.
        known: a public number: `data_seed`, or the seed of a run of an earlier version without secrets.
        lack: what was lost, for the person who resumes the run; empty if nothing was.
    """

    def __init__(self, secret: bytes | None, known: int = 0, lack: str = "") -> None:
        self._secret = secret
        self._known = known
        self.lack = lack

    @property
    def commitment(self) -> str:
        """The hash of the secret, which reveals nothing about it; empty without a secret."""
        return "" if self._secret is None else commitment_of(self._secret)

    def draw(self, stage: str, repeat: int) -> EvaluationSeeds:
        """Return the seeds of one evaluation."""
        return self._derive(stage, repeat)

    def draw_fresh(self, stage: str, number: int) -> EvaluationSeeds:
        """Return the seeds of a verification: no other number and no ranking evaluation draws the same data."""
        return self._derive(f"fresh {stage}", number)

    def _derive(self, stage: str, repeat: int) -> EvaluationSeeds:
        if self._secret is None:
            # As in runs of earlier versions without secrets: their evaluators know only `seed`.
            key = f"{self._known}/0/evaluate {stage}/{repeat}"
            seed = random.Random(hashlib.sha256(key.encode()).digest()).getrandbits(31)
            return EvaluationSeeds(seed, seed, _bits(hashlib.sha256(f"sandbox {key}".encode()).digest(), 31))
        digests = (
            hmac.digest(self._secret, f"{label}/{stage}/{repeat}".encode(), "sha256")
            for label in EvaluationSeeds._fields
        )
        return EvaluationSeeds(*map(_bits, digests, (31, 63, 31)))


def _bits(digest: bytes, bits: int) -> int:
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def commitment_of(secret: bytes) -> str:
    """Return the hash that identifies a secret."""
    return hashlib.sha256(b"the secret of a run: " + secret).hexdigest()


def make_secret(folder: Path) -> str:
    """Write a new secret into a run's folder, readable for its owner only; returns its commitment.

    Raises:
        OSError: the file cannot be written.
    """
    secret = secrets.token_bytes(_SIZE)
    _write(folder, secret)
    return commitment_of(secret)


def copy_secret(source: Path, folder: Path, commitment: str) -> bool:
    """Copy the secret of one run's folder to another's; return False if none has that commitment.

    Raises:
        OSError: the copy cannot be written.
    """
    secret = _read(source)
    if secret is None or commitment_of(secret) != commitment:
        return False
    _write(folder, secret)
    return True


def open_data_seeds(folder: Path, state: RunState) -> DataSeeds:
    """Return the seeds of a run; if its secret is lost, make a new one and say so in `lack`.

    Raises:
        RunError: the secret is not this run's, or a new one cannot be written.
    """
    settings = state.settings
    expected = state.secret
    if settings.data_seed is not None or not expected:
        return DataSeeds(None, settings.seed if settings.data_seed is None else settings.data_seed)
    path = folder / _NAME
    secret = _read(folder)
    if secret is not None:
        if commitment_of(secret) != expected:
            raise RunError(
                f"{path} is not the secret of this run",
                "Put the run's own file there; or remove it: later evaluations then draw other data than earlier ones",
            )
        return DataSeeds(secret)
    try:
        make_secret(folder)
    except OSError as exc:
        raise RunError(f"{path} cannot be written: {exc.strerror}") from None
    return DataSeeds(
        _read(folder),
        lack=f"its secret, the file '{_NAME}' beside run.db, is gone, so that evaluations draw other data from now on: "
        "compare earlier scores with later ones with care",
    )


def open_key(folder: Path) -> bytes:
    """Return the key that signs results of a run's evaluations elsewhere; make one where there is none.

    Results on their way when it is lost are measured again.

    Raises:
        RunError: it cannot be read.
        OSError: it cannot be written.
    """
    key = _read(folder, _KEY)
    if key is None:
        key = secrets.token_bytes(_SIZE)
        _write(folder, key, _KEY)
    return key


def _read(folder: Path, name: str = _NAME) -> bytes | None:
    path = folder / name
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise RunError(f"{path} cannot be read: {exc.strerror}") from None
    if len(secret) != _SIZE:
        raise RunError(
            f"{path} holds {len(secret)} bytes, and a secret has {_SIZE}",
            "Put the run's own file there; or remove it: later evaluations then draw other data than earlier ones",
        )
    return secret


def _write(folder: Path, secret: bytes, name: str = _NAME) -> None:
    path = folder / name
    partial = folder / f"{name}.new"
    with suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.rename(path)
