"""One training run on disk: its identity, progress, interruption and resumption.

The loops in ``cls/train.py`` and ``mt/train.py`` keep their own order of events. This module holds what they share: the
identity of the run, checkpoints at intervals, signals, history and final files. With several processes, only rank 0
reads and writes the run folder; it tells the others whether the run is finished, and where to resume.
"""

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import torch

from onepage.errors import Interrupted, UserError
from onepage.files import read_json, write_json
from onepage.runs import history, lookup, provenance
from onepage.terminal.progress import Reporter
from onepage.training import checkpoint, energy, tensorboard
from onepage.training.distributed import ALONE, Ranks, of_a_lost_peer
from onepage.training.recipe import as_dict, recipe_hash
from onepage.training.weights import digest_tensors

if TYPE_CHECKING:
    from onepage.training.state import TrainingState  # which imports this module

SAVE_EVERY_SECONDS = 60.0  # `train --save-every` sets it; the tests' training is over sooner
EPOCH_SECONDS = 5.0  # least age of the last checkpoint for a save at an epoch's end: short epochs would mostly save
SAVE_SHARE = 0.02  # of the time that such saves may take: on a GPU an epoch is not much longer than a save
RESULTS = ("model.pt", "metrics.json", "predictions.npz", "explain.npz", "provenance.json")


class Session:
    """A run folder being trained; use as a context manager around the loop."""

    def __init__(
        self, run: Path, recipe: Any, plan: dict[str, Any], program: str = "", ranks: Ranks = ALONE, world: int = 0
    ):
        """``plan``: task, set, generated, profile, seed, data_digest, device, precision, threads (see run.json).

        ``program`` is a digest of the training code; a checkpoint of other code belongs to another run. ``world``: the
        number of processes, if ``ranks`` does not have it yet because they are not started.
        """
        self.run = Path(run)
        self.ranks, self.world = ranks, world or ranks.world
        if self.world > 1:  # it changes the order of float sums, like the number of threads
            plan = {**plan, "processes": self.world}
        plain, torch_version = as_dict(recipe), str(torch.__version__)
        self.identity = {
            "hash": recipe_hash(recipe, **plan, torch=torch_version, program=program),
            **plain,
            **plan,
            "torch": torch_version,
            "program": program,
        }
        self.plan = {
            **plan,
            "recipe_hash": recipe_hash(recipe, **plan, torch=torch_version),
            "recipe": plain,
            "versions": provenance.versions(),
            "program": program,
        }
        self.rows: list[dict[str, Any]] = []
        self.processes = [[0, self.world]]  # [first update, number of processes] of each part of the run
        self.before: dict[str, Any] = {"seconds": 0.0, "sessions": 0, "peak": 0, "energy": {}}  # of earlier sessions
        self.started = provenance.now()
        self._tensorboard = tensorboard.asked()
        self._save_cost = 0.0  # seconds that the last checkpoint took
        self.resumed = False  # from a checkpoint
        self._signal: int | None = None  # received by this process
        self._stop: int | None = None  # for which all processes end, after the same update
        self._handlers: dict[int, Any] = {}

    def finished(self) -> bool:
        """Whether the run folder already holds the final weights of this run."""
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
        checkpoint.remove_all(self.run)  # left by a kill after the weights were written
        (self.run / "model.pt").touch()  # newer than its prerequisites, so that make does not train again
        return True

    def __enter__(self) -> "Session":
        gc.collect()  # CUDA graphs of an earlier training: to free one during the capture of another is an error
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note_signal)
        if self.ranks.is_main:
            self.run.mkdir(parents=True, exist_ok=True)
        # with several processes, this counter would cover only a part
        self._meter = energy.meter(self.plan["device"] if self.world == 1 else "cpu")
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
        """Whether a signal has reached this process; with several, ``stop_if`` must then tell all of them."""
        return self._signal is not None

    def stop_if(self, asked: float) -> None:
        """End after this update if ``asked``, the number of processes that a signal has reached, is not zero."""
        if asked and self._stop is None:
            self._stop = self._signal or signal.SIGTERM

    @contextlib.contextmanager
    def training(
        self, state: "TrainingState[Any, Any]", unit: str, about: str, work: Callable[[int], float] = float
    ) -> Iterator[Reporter]:
        """Context of the loop: resumes ``state`` from a checkpoint if there is one, notes signals, reports progress.

        ``unit`` and ``work``: see Reporter. ``about``: what is trained on, for the first line.
        """
        with self:
            self.resume(state)
            plan, log, done = self.plan, self.run / "train.log", state.update
            name = f"{plan['task']:<3} seed {plan['seed']}"
            with Reporter(name, state.updates, unit, log, done, work, quiet=not self.ranks.is_main) as report:
                report.line(
                    f"{'resuming at' if done else 'training from'} update {done} of {state.updates}: {about}, "
                    f"{plan['device']}, {plan['precision']}, {plan['recipe']['threads']} threads{self.ranks.words()}"
                )
                yield report

    def resume(self, state: "TrainingState[Any, Any]") -> None:
        """Load the newest undamaged checkpoint into ``state``; if there is none, leave the state unchanged.

        Raises UserError if the checkpoint was trained with another recipe, or lacks parts of ``state``.
        """
        try:
            loop = self.restore()
            if loop is not None:
                state.load_state_dict(loop)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            of_memory = isinstance(error, torch.OutOfMemoryError)
            if not self.resumed or of_memory or (self.world > 1 and of_a_lost_peer(error)):
                raise  # not caused by the checkpoint
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"the checkpoint in {self.run} does not hold what this training needs "
                f"({type(error).__name__}: {reason}); delete it and run the same command again"
            ) from error

    def restore(self) -> dict[str, Any] | None:
        """The loop's own state from the newest undamaged checkpoint, or None to start from the beginning.

        Raises UserError if the checkpoint was trained with another recipe. With another number of processes it is
        resumed; run.json and metrics.json then list the numbers, each with its first update.
        """
        loop = self.ranks.from_main(self._restore() if self.ranks.is_main else None)
        self.resumed = loop is not None
        return loop

    def _restore(self) -> dict[str, Any] | None:
        if (self.run / "model.pt").exists():  # written last: checkpoints beside it remain from a finished run
            print(self._why_again())
            checkpoint.remove_all(self.run)
        state = checkpoint.latest(self.run, self.identity, print)
        for name in RESULTS:  # results of an earlier run, whose weights are replaced
            (self.run / name).unlink(missing_ok=True)
        commit = provenance.commit()
        about = self.plan | commit
        if state is None:
            write_json(self.run / "run.json", about)
            history.write(self.run / "history.jsonl", [])
            return None
        self.resumed = True
        self.rows, self.processes, self.started = state["rows"], state["processes"], state["started"]
        self.before = {name: state[name] for name in self.before}
        before = self.processes[-1][1]
        if before != self.world:
            print(
                f"resuming with a different number of processes ({before} -> {self.world}); last digits may now differ"
            )
            self.processes = [*self.processes, [state["loop"]["update"], self.world]]
        history.write(self.run / "history.jsonl", self.rows)  # the file may be ahead of the checkpoint
        if len(self.processes) > 1:
            about["processes_from_update"] = self.processes
        path = self.run / "run.json"
        there = read_json(path) if path.exists() else {}
        about |= {key: there[key] for key in commit if key in there}  # keep the commit at its start
        if there != about:
            write_json(path, about)
        return state["loop"]

    def _why_again(self) -> str:
        """Why existing weights are replaced, for a message."""
        try:
            _, identity = checkpoint.load_model(self.run / "model.pt")
            what = f"belong to a different recipe ({checkpoint.what_differs(self.identity, identity)})"
        except UserError:
            what = "are damaged"
        return f"the weights in {self.run} {what}; training again"

    def seconds(self) -> float:
        """Training seconds so far, over all sessions of this run."""
        return self.before["seconds"] + time.monotonic() - self._clock

    def _totals(self) -> dict[str, Any]:
        """Totals over all sessions of this run, including this one; energy {} if the machine has no counter."""
        return {
            "seconds": self.seconds(),
            "sessions": self.before["sessions"] + 1,
            "peak": max(self.before["peak"], provenance.peak_memory_bytes()),
            "energy": energy.add(self.before["energy"], self._meter.joules(), self.before["sessions"]),
        }

    def add_row(self, row: dict[str, Any]) -> None:
        """Append to the history and write it."""
        if not self.ranks.is_main:
            return
        self.rows.append({**row, "seconds": round(self.seconds(), 2)})
        history.write(self.run / "history.jsonl", self.rows)
        if self._tensorboard:
            tensorboard.write(self.run, self.started, self.rows)

    def due(self, epoch_ended: bool = False) -> bool:
        """Whether to write a checkpoint now: an epoch ended, a minute has passed, or a signal arrived."""
        if not self.ranks.is_main:
            return self._stop is not None
        age = time.monotonic() - self._saved
        rest = max(EPOCH_SECONDS, self._save_cost / SAVE_SHARE)
        return self._stop is not None or age >= SAVE_EVERY_SECONDS or (epoch_ended and age >= rest)

    def save(self, update: int, loop: dict[str, Any]) -> None:
        """Write a checkpoint with the loop's state; then raise Interrupted if a signal arrived."""
        if self.ranks.is_main:
            parts = {"rows": self.rows, "started": self.started, "processes": self.processes}
            begun = time.monotonic()
            try:
                checkpoint.save(self.run, update, {"loop": loop, **parts, **self._totals()}, self.identity)
            except UserError as error:  # a full disk
                why = f"{error}; the previous checkpoint remains; the same command resumes from it"
                raise UserError(why) from error
            self._saved = time.monotonic()
            self._save_cost = self._saved - begun
        if self._stop is not None:
            raise Interrupted(self._stop, f"stopped after update {update}, saved; run the same command to go on")

    def finish(self, weights: dict[str, torch.Tensor]) -> str:
        """Write provenance and the final weights (last), remove the checkpoints; returns the weights' digest.

        With several processes, the others wait for rank 0: once any has ended without an error, everything is written.
        """
        return self.ranks.from_main(self._finish(weights) if self.ranks.is_main else "")

    def _finish(self, weights: dict[str, torch.Tensor]) -> str:
        totals = self._totals()
        provenance.record(
            self.run,
            "train",
            {
                "started": self.started,
                "finished": provenance.now(),
                "seconds": round(totals["seconds"], 1),
                "sessions": totals["sessions"],
                "peak_memory_bytes": totals["peak"],
                "peak_gpu_memory_bytes": provenance.peak_gpu_memory_bytes(),
                "energy_joules": {name: round(joules, 1) for name, joules in totals["energy"].items()},
                "command": provenance.command(),
            },
        )
        weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        checkpoint.save_model(self.run / "model.pt", weights, self.identity)
        checkpoint.remove_all(self.run)
        return digest_tensors(weights)


def common_block(model: Path) -> dict[str, Any]:
    """The first level of metrics.json, from run.json or from the metrics of an exported file."""
    return lookup.told(model, "run.json")
