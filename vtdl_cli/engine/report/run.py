"""What a run folder says of its training, for a page: settings, metrics, provenance, and what is not there."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vtdl_cli.analysis.report.content import Note, Pairs
from vtdl_cli.config import Config, ScheduleSection
from vtdl_cli.engine.networks.checkpoint import Checkpoint, Stage, find_weights, load_with_sha256
from vtdl_cli.engine.networks.methods import METHODS
from vtdl_cli.engine.networks.selection import read_selection
from vtdl_cli.engine.train.health import signs_of_collapse
from vtdl_cli.engine.train.run_folder import CONFIG, METRICS, EpochMetrics, read_log
from vtdl_cli.errors import CheckpointError, ConfigError, UsageError, VtdlError
from vtdl_cli.settings import build_config, read_yaml

STAGES = {"pretrain": "Pretraining", "finetune": "Finetuning"}
_ORIGINS = {"weights": "began from", "weights_sha256": "began from sha256"}


@dataclass
class Run:
    """A run folder, as far as it can be read.

    Attributes:
        path: the folder.
        config: its settings; none: absent, or of another version.
        configuration: config.yaml as it is.
        rows: of metrics.jsonl.
        checkpoint: without tensors; empty: absent.
        weights: its file and the SHA-256 of its bytes; empty: absent.
        notes: what is not there, by the section of the page that lacks it.
    """

    path: Path
    config: Config | None = None
    configuration: str = ""
    rows: list[EpochMetrics] = field(default_factory=list)
    checkpoint: Checkpoint = field(default_factory=dict)
    weights: tuple[str, str] = ("", "")
    notes: dict[str, list[Note]] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """By the checkpoint; without one, by the metrics: only finetuning has accuracies on its own clips."""
        found = "finetune" if any("train_top1" in row for row in self.rows) else "pretrain"
        stage: Stage = self.checkpoint.get("stage", found)
        return stage

    def miss(self, section: str, text: str, command: str = "") -> None:
        """Note that something is not there."""
        self.notes.setdefault(section, []).append(Note(text, command))


def read_run(path: Path) -> Run:
    """Read what there is.

    Raises:
        UsageError: `path` is no run folder.
    """
    if not any((path / name).is_file() for name in (CONFIG, METRICS)):
        what = f"holds neither {CONFIG} nor {METRICS}" if path.is_dir() else "is not a folder"
        raise UsageError(f"run '{path}' {what}. Give the folder that vtdl pretrain or vtdl finetune wrote")
    run = Run(path)
    _read_configuration(run)
    _read_checkpoint(run)
    _read_rows(run)
    _read_health(run)
    return run


def _read_health(run: Run) -> None:
    """Warn of a pretraining that has learnt nothing, as it did itself."""
    if not run.rows or run.stage != "pretrain":
        return
    for sign in signs_of_collapse(run.rows[-1]).values():
        run.miss("training", f"Warning: {sign}.")


def _read_configuration(run: Run) -> None:
    source = run.path / CONFIG
    try:
        run.configuration = source.read_text(encoding="utf-8")
        run.config = build_config(read_yaml(run.configuration), source=str(source))
    except (OSError, UnicodeDecodeError):
        run.miss("settings", f"No settings: the run folder has no readable {CONFIG}.")
    except (ValueError, ConfigError, AttributeError, TypeError):  # the last two: it is no mapping
        run.miss("settings", f"{CONFIG} does not fit this version of vtdl: it is shown as it is.")


def _read_rows(run: Run) -> None:
    try:
        run.rows = read_log(run.path / METRICS)
    except VtdlError as error:
        run.miss("training", f"No curves: {error}.")
        return
    if not run.rows:
        resume = f"vtdl {run.stage} --resume --out {shlex.quote(str(run.path))} ..."
        run.miss("training", "No curves: no epoch has ended yet. Go on with what the run was started with.", resume)


def _read_checkpoint(run: Run) -> None:
    try:
        path = find_weights(str(run.path))
        content, sha256 = load_with_sha256(path)
    except CheckpointError as error:
        run.miss("provenance", f"No provenance of weights: {error}.")
        return
    tensors = ("model", "optimizer", "random", "sums")
    run.checkpoint = {name: value for name, value in content.items() if name not in tensors}
    run.weights = str(path), sha256


def summarise(run: Run) -> str:
    """One line: what the run is."""
    parts = [f"{STAGES[run.stage]}"]
    if run.config is not None:
        if run.stage == "pretrain":
            parts = [f"Pretraining without labels by {run.config.method.name}"]
        options = run.config.model
        parts.append(f"{options.name}{f'-{options.depth}' if options.depth else ''} of width {options.width}")
    if run.rows:
        parts.append(f"{len(run.rows)} epochs in {sum(row.get('seconds', 0.0) for row in run.rows):.0f} s")
    return ", ".join(parts)


def main_settings(run: Run) -> Pairs:
    """Those that a reader asks for first, in words."""
    config = run.config
    if config is None:
        return ()
    options = config.pretrain if run.stage == "pretrain" else config.finetune
    model, data, optimizer = config.model, config.data, options.optimizer
    depth = f", depth {model.depth}" if model.depth else ""
    return (
        ("network", f"{model.name}{depth}, width {model.width}"),
        ("clip", f"{options.clip_len_frames} frames, stride {options.stride_frames}"),
        ("picture", f"{data.crop_size} pixels of {data.modality}, cut from a short side of {data.short_side}"),
        ("training", f"{options.epochs} epochs in batches of {options.batch_size} videos"),
        (
            "optimiser",
            f"{optimizer.name}, learning rate {optimizer.lr:g}, weight decay {optimizer.weight_decay:g}",
        ),
        ("schedule", _schedule(options.schedule)),
        ("augmentation", "basic" if options.augment else "random crop only"),
        *(_method_settings(config) if run.stage == "pretrain" else _test_settings(config)),
    )


def _schedule(schedule: ScheduleSection) -> str:
    words: str = schedule.name
    if schedule.name == "step":
        words += f", x{schedule.factor:g} after epochs {', '.join(map(str, schedule.milestones)) or 'none'}"
    return words + (f", warm-up of {schedule.warmup_epochs:g} epochs" if schedule.warmup_epochs else "")


def _method_settings(config: Config) -> Iterator[tuple[str, str]]:
    method = config.method
    yield "method", method.name
    if method.name in METHODS and METHODS[method.name].task.reads("tca"):  # a method from elsewhere is not imported
        own = "with" if method.intra_video_negative else "without"
        yield "negatives", f"{method.queue.memory} of {method.queue.size} keys, {own} the intra-video negative"
        yield "TCA", f"alpha {method.tca.alpha:g} for each {method.tca.per}" if method.tca.alpha else "off"
        yield "key encoder", f"momentum {method.momentum:g}; temperature {method.temperature:g}"


def _test_settings(config: Config) -> Iterator[tuple[str, str]]:
    yield "dropout", f"{config.finetune.dropout:g}"
    starts = config.evaluate.starts
    yield "test", f"clips from frames {', '.join(map(str, starts))}" if starts else f"{config.evaluate.clips} clips"


def provenance(run: Run) -> Iterator[tuple[str, str]]:
    """Where the weights come from."""
    yield "run folder", str(run.path)
    if not run.checkpoint:
        return
    yield "weights", run.weights[0]
    yield "weights sha256", run.weights[1]
    yield "epoch of the weights", f"{run.checkpoint.get('epoch', 0.0):g}"
    if run.stage == "finetune":
        yield "chosen among epochs", _selection(run)
    yield "training list sha256", str(run.checkpoint["list_sha256"])
    yield "seed", str(run.checkpoint["seed"])
    for name, value in run.checkpoint["origin"].items():
        yield _ORIGINS.get(name, name.replace("_", " ")), "none" if value is None else str(value)
    yield "versions", ", ".join(f"{name} {version}" for name, version in run.checkpoint["versions"].items())


def _selection(run: Run) -> str:
    selection = read_selection(run.checkpoint, Path(run.weights[0]))
    if selection is None:
        return "no"
    by = f", by {selection['metric']}" if "metric" in selection else ""
    return f"on list sha256 {selection['list_sha256']}{by}" if selection else "not known"
