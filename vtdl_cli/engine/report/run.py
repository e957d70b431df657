"""A run folder, read for its report: settings, metrics, provenance, and remarks on what is missing."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vtdl_cli.analysis.report.content import Pairs, Remark
from vtdl_cli.config import Config, TrainingSection
from vtdl_cli.engine.networks.checkpoint import Checkpoint, Stage, find_weights, load_with_sha256
from vtdl_cli.engine.networks.methods import METHODS
from vtdl_cli.engine.networks.selection import read_selection
from vtdl_cli.engine.train.health import signs_of_failure
from vtdl_cli.engine.train.optimization import warmup_epochs
from vtdl_cli.engine.train.run_folder import CONFIG, METRICS, EpochMetrics, read_log, stage_of
from vtdl_cli.errors import CheckpointError, ConfigError, UsageError, VtdlError
from vtdl_cli.settings import build_config
from vtdl_cli.text import counted
from vtdl_cli.yaml_values import read_yaml

STAGE_NAMES = {"pretrain": "Pretraining", "finetune": "Finetuning"}
ORIGIN_NAMES = {"weights": "initialised from", "weights_sha256": "initialised from sha256"}
"""Entries of a checkpoint's `origin`, and their names on the page."""


@dataclass
class Run:
    """A run folder, as far as it can be read.

    Attributes:
        path: the folder.
        config: its settings; none: absent, or of another version.
        configuration: content of config.yaml.
        epochs: lines of metrics.jsonl.
        checkpoint: without tensors; empty: absent.
        weights: file of the checkpoint; empty: absent.
        sha256: of that file; empty: absent.
        remarks: on what is missing, by section of the page.
    """

    path: Path
    config: Config | None = None
    configuration: str = ""
    epochs: list[EpochMetrics] = field(default_factory=list)
    checkpoint: Checkpoint = field(default_factory=dict)
    weights: str = ""
    sha256: str = ""
    remarks: dict[str, list[Remark]] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """The checkpoint's stage; without one, that of the metrics."""
        stage: Stage = self.checkpoint.get("stage", stage_of(self.epochs))
        return stage

    def remark(self, section: str, text: str, command: str = "") -> None:
        """Add a remark to a section of the page."""
        self.remarks.setdefault(section, []).append(Remark(text, command))


def read_run(path: Path) -> Run:
    """Read as much as there is.

    Raises:
        UsageError: `path` is no run folder.
    """
    if not any((path / name).is_file() for name in (CONFIG, METRICS)):
        flaw = f"holds neither {CONFIG} nor {METRICS}" if path.is_dir() else "is not a folder"
        raise UsageError(f"run '{path}' {flaw}. Name a run folder of vtdl pretrain or vtdl finetune")
    run = Run(path)
    _read_configuration(run)
    _read_checkpoint(run)
    _read_epochs(run)
    if run.epochs and run.stage == "pretrain":
        for sign in signs_of_failure(run.epochs[-1]).values():
            run.remark("training", f"Warning: {sign}.")
    return run


def _read_configuration(run: Run) -> None:
    source = run.path / CONFIG
    try:
        run.configuration = source.read_text(encoding="utf-8")
        run.config = build_config(read_yaml(run.configuration), source=str(source))
    except (OSError, UnicodeDecodeError):
        run.remark("settings", f"No settings: the run folder has no readable {CONFIG}.")
    except (ValueError, ConfigError, AttributeError, TypeError):  # the last two: it is not a mapping
        run.remark("settings", f"{CONFIG} does not fit this version of vtdl: it is shown unchanged.")


def _read_checkpoint(run: Run) -> None:
    try:
        path = find_weights(str(run.path))
        content, run.sha256 = load_with_sha256(path)
    except CheckpointError as error:
        run.remark("provenance", f"No provenance of weights: {error}.")
        return
    tensors = ("model", "optimizer", "random", "sums")
    run.checkpoint = {name: value for name, value in content.items() if name not in tensors}
    run.weights = str(path)


def _read_epochs(run: Run) -> None:
    try:
        run.epochs = read_log(run.path / METRICS)
    except VtdlError as error:
        run.remark("training", f"No curves: {error}.")
        return
    if not run.epochs:
        folder = shlex.quote(str(run.path))
        lists = "--train-list lists/train_split_1.txt --root videos"
        command = f"vtdl {run.stage} --preset {folder}/config.yaml {lists} --out {folder} --resume"
        run.remark("training", "No curves: no epoch has finished yet. Resume the run with its own options.", command)


def summarise_run(run: Run) -> str:
    """Describe the run in one line."""
    parts = [STAGE_NAMES[run.stage]]
    if run.config is not None:
        if run.stage == "pretrain":
            parts = [f"Pretraining without labels by {run.config.method.name}"]
        model = run.config.model
        parts.append(f"{model.name}{f'-{model.depth}' if model.depth else ''} of width {model.width}")
    if run.epochs:
        parts.append(
            f"{counted(len(run.epochs), 'epoch')} in {sum(row.get('seconds', 0.0) for row in run.epochs):.0f} s"
        )
    return ", ".join(parts)


def list_settings(run: Run) -> Pairs:
    """List the main settings, in words."""
    config = run.config
    if config is None:
        return ()
    options = config.pretrain if run.stage == "pretrain" else config.finetune
    model, data, optimizer = config.model, config.data, options.optimizer
    depth = f", depth {model.depth}" if model.depth else ""
    return (
        ("backbone", f"{model.name}{depth}, width {model.width}"),
        ("clip", f"{counted(options.clip_len_frames, 'frame')}, stride {options.stride_frames}"),
        ("input", f"{data.crop_size} pixels of {data.modality}, cropped from a short side of {data.short_side}"),
        ("training", f"{counted(options.epochs, 'epoch')}, batch size {_describe_batch(options)}"),
        ("optimiser", f"{optimizer.name}, lr {optimizer.lr:g}, weight decay {optimizer.weight_decay:g}"),
        ("schedule", _describe_schedule(options)),
        ("augmentation", "basic" if options.augment else "random crop only"),
        *(_list_method_settings(config) if run.stage == "pretrain" else _list_test_settings(config)),
    )


def _describe_batch(options: TrainingSection) -> str:
    accumulated = f"{options.accumulate_steps} x " if options.accumulate_steps > 1 else ""
    return f"{accumulated}{options.batch_size}"


def _describe_schedule(options: TrainingSection) -> str:
    schedule, epochs = options.schedule, warmup_epochs(options)
    words: str = schedule.name
    if schedule.name == "step":
        words += f", x{schedule.factor:g} after epochs {', '.join(map(str, schedule.milestones)) or 'none'}"
    return words + (f", warm-up of {counted(epochs, 'epoch')}" if epochs else "")


def _list_method_settings(config: Config) -> Iterator[tuple[str, str]]:
    method = config.method
    yield "method", method.name
    if method.name in METHODS and METHODS[method.name].task.reads("tca"):  # a method from elsewhere is not imported
        intra_video = "with" if method.intra_video_negative else "without"
        yield "negatives", f"{method.queue.memory} of {method.queue.size} keys, {intra_video} the intra-video negative"
        yield "TCA", f"alpha {method.tca.alpha:g} for each {method.tca.per}" if method.tca.alpha else "off"
        yield "key encoder", f"momentum {method.momentum:g}; temperature {method.temperature:g}"


def _list_test_settings(config: Config) -> Iterator[tuple[str, str]]:
    options = config.finetune
    yield "dropout", f"{options.dropout:g}"
    if options.label_smoothing:
        yield "label smoothing", f"{options.label_smoothing:g}"
    if "balanced" in (options.class_weights, options.sampling):
        yield "classes", "balanced by " + ("weights of the loss" if options.sampling == "shuffle" else "sampling")
    if options.patience:
        yield "early stopping", f"after {counted(options.patience, 'epoch')} without a better {options.best_by}"
    starts = config.evaluate.starts
    yield (
        "test",
        f"clips from frames {', '.join(map(str, starts))}" if starts else counted(config.evaluate.clips, "clip"),
    )


def list_provenance(run: Run) -> Iterator[tuple[str, str]]:
    """List where the weights come from."""
    yield "run folder", str(run.path)
    if not run.checkpoint:
        return
    yield "weights", run.weights
    yield "weights sha256", run.sha256
    yield "epoch of the weights", f"{run.checkpoint.get('epoch', 0.0):g}"
    if run.stage == "finetune":
        yield "chosen among epochs", _describe_selection(run)
    yield "training list sha256", str(run.checkpoint["list_sha256"])
    yield "seed", str(run.checkpoint["seed"])
    for name, value in run.checkpoint["origin"].items():
        yield ORIGIN_NAMES.get(name, name.replace("_", " ")), "none" if value is None else str(value)
    yield "versions", ", ".join(f"{name} {version}" for name, version in run.checkpoint["versions"].items())


def _describe_selection(run: Run) -> str:
    selection = read_selection(run.checkpoint, Path(run.weights))
    if selection is None:
        return "no"
    by = f", by {selection['metric']}" if "metric" in selection else ""
    return f"on list sha256 {selection['list_sha256']}{by}" if selection else "unknown"
