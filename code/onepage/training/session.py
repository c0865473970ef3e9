"""One training run on disk: what it is, where it stands, how it is interrupted and taken up again.

The loops in ``cls/train.py`` and ``mt/train.py`` keep their own order of events; this holds what is the same for both:
the identity of the run, its checkpoints at intervals, signals, its history and its final files. Of several processes
rank 0 alone reads and writes the run folder; what decides for all (is it finished, from where to go on) it tells them.
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
from onepage.runs import history, provenance
from onepage.training import checkpoint, energy
from onepage.training.distributed import ALONE, Ranks, of_a_lost_peer
from onepage.training.energy import EnergyMeter
from onepage.training.recipe import as_dict, recipe_hash
from onepage.training.weights import digest_tensors

SAVE_EVERY_SECONDS = 60.0  # `train --save-every` sets it; the tests' training is over sooner
EPOCH_SECONDS = 5.0  # the end of an epoch is saved when the last checkpoint is this old: tiny epochs would only save
SAVE_SHARE = 0.02  # of the time that such saves may take: an epoch of a GPU is not much longer than one


class Interrupted(UserError):
    """SIGINT or SIGTERM (``number``) arrived; a checkpoint was saved and the same command goes on from it."""

    def __init__(self, number: int, update: int):
        self.number = number
        name = signal.Signals(number).name
        super().__init__(f"{name}: stopped after update {update}, saved; run the same command to go on")


class Session:
    """A run folder being trained; use as a context manager around the loop."""

    def __init__(
        self, run: Path, recipe: Any, block: dict[str, Any], program: str = "", ranks: Ranks = ALONE, world: int = 0
    ):
        """``block``: task, set, generated, profile, seed, data_digest, device, precision, threads (see run.json).

        ``program`` is a digest of the code that trains; a checkpoint of other code is another run's. ``world``: the
        number of processes, where it is not that of ``ranks``: to ask, before they are started, if the run is finished.
        """
        self.run = Path(run)
        self.ranks, self.world = ranks, world or ranks.world
        if self.world > 1:  # it decides the order of float sums, as threads do
            block = {**block, "processes": self.world}
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
        self.processes = [[0, self.world]]  # [first update, number of processes] of each part of the run
        self._meter: EnergyMeter | None = None  # counts from when the loop is entered
        self.started = provenance.now()
        self._clock = self._saved = time.monotonic()
        self._save_cost = 0.0  # seconds that the last checkpoint took
        self.resumed = False  # from a checkpoint
        self._signal: int | None = None  # that this process got
        self._stop: int | None = None  # that it ends for: all processes after the same update
        self._handlers: dict[int, Any] = {}

    def finished(self) -> bool:
        """Whether the run folder already holds the final weights of exactly this run."""
        return self.ranks.from_main(self.ranks.is_main and self._finished())

    def _finished(self) -> bool:
        if not all((self.run / name).exists() for name in ("model.pt", "run.json", "history.jsonl", "provenance.json")):
            return False
        try:
            _, identity = checkpoint.load_model(self.run / "model.pt")
        except UserError:
            return False
        if identity != self.identity:
            return False
        checkpoint.remove_all(self.run)  # a kill after the weights were written can have left some
        (self.run / "model.pt").touch()  # newer than what asked for it, so that make does not ask again
        return True

    def __enter__(self) -> "Session":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note_signal)
        if self.ranks.is_main:
            self.run.mkdir(parents=True, exist_ok=True)
        if self.world == 1:  # of several, this one's counters would tell a part
            self._meter = energy.meter(self.block["device"])
        self._clock = self._saved = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if self.world == 1:
            self._stop = number

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal has reached this process; of several, ``stop_if`` then has to tell them all."""
        return self._signal is not None

    def stop_if(self, asked: float) -> None:
        """End after this update if ``asked``, the processes that a signal has reached by now, is not zero."""
        if asked and self._stop is None:
            self._stop = self._signal or signal.SIGTERM

    def restore(self, say: Any) -> dict[str, Any] | None:
        """The loop's own state from the newest whole checkpoint, or None to start afresh.

        Raises UserError when the checkpoint is of another recipe. One of another number of processes is gone on from;
        run.json, and metrics.json after it, then tell how many there were from which update on.
        """
        state = self.ranks.from_main(self._restore(say) if self.ranks.is_main else None)
        self.resumed = state is not None
        return state

    def _restore(self, say: Any) -> dict[str, Any] | None:
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
        self.resumed = True
        self.rows = state["rows"]
        self.seconds_before = state["seconds"]
        self.sessions = state["sessions"]
        self.peak_before = state["peak"]
        self.energy_before = state["energy"]
        self.started = state["started"]
        self.processes = state["processes"]
        before = self.processes[-1][1]
        if before != self.world:
            say(f"going on with another number of processes ({before} -> {self.world}): other last digits from here")
            self.processes = [*self.processes, [state["loop"]["update"], self.world]]
        history.write(self.run / "history.jsonl", self.rows)  # on disk it may be ahead of the checkpoint
        told = self.block | ({"processes_from_update": self.processes} if len(self.processes) > 1 else {})
        path = self.run / "run.json"
        there = read_json(path) if path.exists() else {}
        commit = {key: there.get(key, value) for key, value in provenance.commit().items()}  # that of its beginning
        if there != told | commit:
            write_json(path, told | commit)
        return state["loop"]

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Around ``restore`` and what the loop takes from it: a state that does not fit is a UserError."""
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            of_memory = isinstance(error, torch.OutOfMemoryError)
            if not self.resumed or of_memory or (self.world > 1 and of_a_lost_peer(error)):
                raise  # it says nothing of a checkpoint
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
        if not self.ranks.is_main:
            return
        self.rows.append({**row, "seconds": round(self.seconds(), 2)})
        history.write(self.run / "history.jsonl", self.rows)

    def due(self, epoch_ended: bool = False) -> bool:
        """Whether a checkpoint should be written now: an epoch ended, a minute has passed, or a signal asks to stop."""
        if not self.ranks.is_main:
            return self._stop is not None
        age = time.monotonic() - self._saved
        rest = max(EPOCH_SECONDS, self._save_cost / SAVE_SHARE)
        return self._stop is not None or age >= SAVE_EVERY_SECONDS or (epoch_ended and age >= rest)

    def save(self, update: int, loop: dict[str, Any]) -> None:
        """Write a checkpoint with the loop's state; raises Interrupted afterwards if a signal asked to stop."""
        if self.ranks.is_main:
            self._save(update, loop)
        if self._stop is not None:
            raise Interrupted(self._stop, update)

    def _save(self, update: int, loop: dict[str, Any]) -> None:
        state = {
            "loop": loop,
            "rows": self.rows,
            "seconds": self.seconds(),
            "sessions": self.sessions + 1,
            "peak": max(self.peak_before, provenance.peak_memory_bytes()),
            "energy": self.energy_joules(),
            "started": self.started,
            "processes": self.processes,
        }
        begun = time.monotonic()
        try:
            checkpoint.save(self.run, update, state, self.identity)
        except UserError as error:  # a full disk
            raise UserError(f"{error}; the checkpoint before stays, and the same command goes on from it") from error
        self._saved = time.monotonic()
        self._save_cost = self._saved - begun

    def finish(self, weights: dict[str, torch.Tensor]) -> str:
        """Write provenance and the final weights (last), remove the checkpoints; returns the weights' digest.

        Of several processes the others wait for rank 0: when one has ended well, all is written.
        """
        return self.ranks.from_main(self._finish(weights) if self.ranks.is_main else "")

    def _finish(self, weights: dict[str, torch.Tensor]) -> str:
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
