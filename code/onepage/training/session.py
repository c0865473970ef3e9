"""One training run on disk: what it is, where it stands, how it is interrupted and taken up again.

The loops in ``cls/train.py`` and ``mt/train.py`` keep their own order of events; this holds what is the same for both:
the identity of the run, its checkpoints at intervals, signals, its history and its final files.
"""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from onepage.errors import UserError
from onepage.files import read_json, write_json
from onepage.training import checkpoint, energy, history, provenance
from onepage.training.energy import EnergyMeter
from onepage.training.recipe import as_dict, recipe_hash
from onepage.training.weights import digest_tensors

SAVE_EVERY_SECONDS = 60.0  # `train --save-every` sets it; the tests' training is over sooner
EPOCH_SECONDS = 5.0  # the end of an epoch is saved when the last checkpoint is this old: tiny epochs would only save


class Interrupted(UserError):
    """SIGINT or SIGTERM (``number``) arrived; a checkpoint was saved and the same command goes on from it."""

    def __init__(self, number: int, update: int):
        self.number = number
        name = signal.Signals(number).name
        super().__init__(f"{name}: stopped after update {update}, saved; run the same command to go on")


class Session:
    """A run folder being trained; use as a context manager around the loop."""

    def __init__(self, run: Path, recipe: Any, block: dict[str, Any], program: str = ""):
        """``block``: task, set, generated, profile, seed, data_digest, device, precision, threads (see run.json).

        ``program`` is a digest of the code that trains; a checkpoint of other code is another run's.
        """
        self.run = Path(run)
        plain = as_dict(recipe)
        self.hash = recipe_hash(recipe, **block, torch=str(torch.__version__))
        self.identity = {"hash": recipe_hash(recipe, **block, torch=str(torch.__version__), program=program), **plain}
        self.identity.update(block, torch=str(torch.__version__), program=program)
        self.block = {**block, "recipe_hash": self.hash, "recipe": plain, "versions": provenance.versions()}
        self.block["program"] = program
        self.rows: list[dict[str, Any]] = []
        self.seconds_before = 0.0
        self.sessions = 0
        self.peak_before = 0
        self.energy_before: dict[str, float] = {}
        self._meter: EnergyMeter | None = None  # counts from when the loop is entered
        self.started = provenance.now()
        self._clock = self._saved = time.monotonic()
        self._stop: int | None = None
        self._handlers: dict[int, Any] = {}

    def finished(self) -> bool:
        """Whether the run folder already holds the final weights of exactly this run."""
        if not all((self.run / name).exists() for name in ("model.pt", "run.json", "history.jsonl", "provenance.json")):
            return False
        try:
            _, identity = checkpoint.load_model(self.run / "model.pt")
        except UserError:
            return False
        if identity != self.identity:
            return False
        checkpoint.remove_all(self.run)  # a kill after the weights were written can have left some
        return True

    def __enter__(self) -> "Session":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note_signal)
        self.run.mkdir(parents=True, exist_ok=True)
        self._meter = provenance.energy_meter(self.block["device"])
        self._clock = self._saved = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = number

    def restore(self, say: Any) -> dict[str, Any] | None:
        """The loop's own state from the newest whole checkpoint, or None to start afresh.

        Raises UserError when the checkpoint is of another recipe.
        """
        if (self.run / "model.pt").exists():  # written last: checkpoints beside it are leftovers of a finished run
            say(self._why_anew())
            checkpoint.remove_all(self.run)
        state = checkpoint.latest(self.run, self.identity, say)
        stale = ("model.pt", "metrics.json", "predictions.npz", "explain.npz", "provenance.json")
        for name in stale:  # of an earlier run in this folder; they must not outlive their weights
            (self.run / name).unlink(missing_ok=True)
        if state is None:
            write_json(self.run / "run.json", {**self.block, **provenance.commit()})
            history.write(self.run / "history.jsonl", [])
            return None
        self.rows = state["rows"]
        self.seconds_before = state["seconds"]
        self.sessions = state["sessions"]
        self.peak_before = state["peak"]
        self.energy_before = state["energy"]
        self.started = state["started"]
        history.write(self.run / "history.jsonl", self.rows)  # on disk it may be ahead of the checkpoint
        if not (self.run / "run.json").exists():
            write_json(self.run / "run.json", {**self.block, **provenance.commit()})
        return state["loop"]

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Around ``restore`` and what the loop takes from it: a state that does not fit is a UserError."""
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"the checkpoint in {self.run} does not hold what this training needs "
                f"({type(error).__name__}: {reason}); delete it and run the same command again"
            ) from error

    def _why_anew(self) -> str:
        """Why weights that are there are replaced, for a message."""
        try:
            _, identity = checkpoint.load_model(self.run / "model.pt")
            what = f"are of another recipe ({checkpoint.what_differs(self.identity, identity)})"
        except UserError:
            what = "are damaged"
        return f"the weights in {self.run} {what}; training anew"

    def seconds(self) -> float:
        """Training seconds so far, over all sessions of this run."""
        return self.seconds_before + time.monotonic() - self._clock

    def energy_joules(self) -> dict[str, float]:
        """Energy of the training so far by counter, over all sessions of this run; {} where the machine tells none."""
        now = self._meter.joules() if self._meter is not None else {}
        return energy.add(self.energy_before, now, self.sessions)

    def add_row(self, row: dict[str, Any]) -> None:
        """Append to the history and write it."""
        self.rows.append({**row, "seconds": round(self.seconds(), 2)})
        history.write(self.run / "history.jsonl", self.rows)

    def due(self, epoch_ended: bool = False) -> bool:
        """Whether a checkpoint should be written now: an epoch ended, a minute has passed, or a signal asks to stop."""
        if self._meter is not None:
            self._meter.sample()  # asked after every update: often enough that no counter wraps twice
        age = time.monotonic() - self._saved
        return self._stop is not None or age >= SAVE_EVERY_SECONDS or (epoch_ended and age >= EPOCH_SECONDS)

    def save(self, update: int, loop: dict[str, Any]) -> None:
        """Write a checkpoint with the loop's state; raises Interrupted afterwards if a signal asked to stop."""
        state = {
            "loop": loop,
            "rows": self.rows,
            "seconds": self.seconds(),
            "sessions": self.sessions + 1,
            "peak": max(self.peak_before, provenance.peak_memory_bytes()),
            "energy": self.energy_joules(),
            "started": self.started,
        }
        try:
            checkpoint.save(self.run, update, state, self.identity)
        except UserError as error:  # a full disk
            raise UserError(f"{error}; the checkpoint before stays, and the same command goes on from it") from error
        self._saved = time.monotonic()
        if self._stop is not None:
            raise Interrupted(self._stop, update)

    def finish(self, weights: dict[str, torch.Tensor]) -> str:
        """Write provenance and the final weights (last), remove the checkpoints; returns the weights' digest."""
        provenance.record(
            self.run,
            "train",
            {
                "started": self.started,
                "finished": provenance.now(),
                "seconds": round(self.seconds(), 1),
                "sessions": self.sessions + 1,
                "peak_memory_bytes": max(self.peak_before, provenance.peak_memory_bytes()),
                "peak_gpu_memory_bytes": provenance.peak_gpu_memory_bytes(),
                "energy_joules": {name: round(joules, 1) for name, joules in self.energy_joules().items()},
                "command": provenance.command(),
            },
        )
        weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        checkpoint.save_model(self.run / "model.pt", weights, self.identity)
        checkpoint.remove_all(self.run)
        return digest_tensors(weights)


def common_block(run: Path) -> dict[str, Any]:
    """The first level of metrics.json: what run.json says of the run."""
    return read_json(run / "run.json")
