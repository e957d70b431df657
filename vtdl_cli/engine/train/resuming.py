"""Whether a run may resume with what is asked for now, and what has changed since it was saved."""

from collections.abc import Iterator
from typing import Any

from vtdl_cli.config import TrainingSection
from vtdl_cli.data.lists.label_sets import compare_classes, label_set
from vtdl_cli.data.video.decoding import same_frames
from vtdl_cli.engine.networks.checkpoint import Checkpoint, find_weights
from vtdl_cli.engine.train.optimization import build_schedule
from vtdl_cli.engine.train.state import TrainingState
from vtdl_cli.errors import CheckpointError
from vtdl_cli.runtime import file_sha256
from vtdl_cli.setting_keys import flatten
from vtdl_cli.settings import build_config
from vtdl_cli.text import counted

MAY_CHANGE = {
    "epochs", "patience", "compile", "cuda_graphs", "cache_gb", "checkpoint_minutes", "keep_every", "knn_every",
    "log_gradients", "trackers",
}  # fmt: skip
"""Settings that may change when a run resumes: none changes what a step computes, but for the lr of a schedule that
depends on the epochs: of a cosine, or of a warm-up that is longer than the run. What is compiled rounds differently;
so do gradients of recorded passes under autocast, which adds those of unrecorded ones up in half precision."""

NAMES = {
    "list_sha256": "the training list is another: its sha256",
    "val_list_sha256": "the validation list is another: its sha256",
}
"""What a change of a list's hash means, in the words of a message."""
REMEDY = "Resume with what it was started with, or choose another --out"


def check_same_run(content: Checkpoint, identity: Checkpoint, run: str) -> None:
    """Refuse to resume with another list, seed, configuration or initial weights, or in finetuning other classes.

    Raises:
        CheckpointError: naming everything that differs.
        UsageError: the classes have other names.
    """
    learns_classes = identity["stage"] == "finetune"
    facts = ("stage", "list_sha256", "seed", *(["num_classes"] if learns_classes else []))
    before, now = (
        flatten(
            {name: of[name] for name in facts}
            | of["origin"]
            | {part: config[part] for part in ("data", "model", "method", identity["stage"])}
        )
        for of, config in ((content, _complete(content["config"])), (identity, identity["config"]))
    )
    if _same_weights(content["origin"], now.get("weights")):
        now.pop("weights", None)
    options = [key for key in before if key.startswith("method.options.")]  # the method's own, which may be gone
    may_change = {f"{identity['stage']}.{name}" for name in MAY_CHANGE}
    changed = [key for key in dict.fromkeys([*now, *options]) if before.get(key) != now.get(key)]
    decoders = [str(of.get("data.decoder")) for of in (before, now)]
    if same_frames(*decoders):
        may_change.add("data.decoder")
    if changed := [key for key in changed if key not in may_change]:
        lines = [
            f"run '{run}' cannot resume: {NAMES.get(key, key)} was '{before.get(key)}', now it is '{now.get(key)}'"
            for key in changed
        ]
        lines[-1] += f". {REMEDY}"
        raise CheckpointError(*lines)
    if learns_classes:
        _compare_classes(content, identity, run)


def _compare_classes(content: Checkpoint, identity: Checkpoint, run: str) -> None:
    begun, resumed = (
        label_set(owner, of.get("classes"), range(of.get("num_classes", 0)))
        for owner, of in ((f"run '{run}'", content), ("its training list", identity))
    )
    if only_numbers := compare_classes(begun, resumed, REMEDY):
        remedy = "Put back the classes.txt" if begun.names else "Remove the classes.txt, which was not there before,"
        raise CheckpointError(f"run '{run}' cannot resume: {only_numbers}. {remedy} beside the list")


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's configuration with the defaults of the settings that its version did not have."""
    return build_config(config).to_dict()


def _same_weights(origin: dict[str, Any], weights: str | None) -> bool:
    """Whether a run began from `weights`: by their path, or by their content if they have moved.

    At the same path they need not exist any more: the run's checkpoint holds what has become of them.
    """
    same_path = bool(origin.get("weights") == weights)
    return same_path or (weights is not None and _sha256(weights) == origin.get("weights_sha256", ""))


def _sha256(weights: str) -> str | None:
    """Hash the file that `weights` name; none if it is gone."""
    try:
        return file_sha256(find_weights(weights))
    except CheckpointError:
        return None


def describe_position(state: TrainingState, run: str) -> str:
    """Return one line on how far a run has come."""
    where = f"at epoch {state.step / state.steps_per_epoch:.2f} of {state.options.epochs}"
    if not state.is_finished:
        return f"run '{run}' resumes {where}"
    if not state.stopped_early:
        return f"run '{run}' is finished {where}: nothing to do"
    how = f"stopped early by finetune.patience {state.patience}"
    return f"run '{run}' is finished {where}, {how}: nothing to do. To train on: --set finetune.patience=0"


def changes_since(content: Checkpoint, identity: Checkpoint, options: TrainingSection) -> Iterator[str]:
    """Yield warnings of what has changed since a checkpoint was written.

    Args:
        content: of the checkpoint.
        identity: of the run, as it is now.
        options: the section of its stage, as it is now.
    """
    weights, sha256 = (content["origin"].get(name) for name in ("weights", "weights_sha256"))
    if weights and sha256 and _sha256(weights) not in (sha256, None):
        yield f"weights '{weights}' have changed since the run began from them: it keeps its own"
    saved, now = content.get("threads"), identity["threads"]
    if saved and now and saved != now and content["epoch"] < options.epochs:
        threads = counted(saved, "CPU thread")
        yield (
            f"the run was saved with {threads} and resumes with {now}, which changes sums in their last digits. To end "
            f"exactly as if it had never stopped, set OMP_NUM_THREADS={saved}"
        )
    done, stage = content["epoch"], content["stage"]
    if done > options.epochs:
        yield f"{stage}.epochs {options.epochs} is less than the {done:.2f} epochs already trained, and has no effect"
        return
    before = options.model_copy(update={"epochs": content["config"][stage]["epochs"]})
    old, new = (options.optimizer.lr * build_schedule(each)(done) for each in (before, options))
    if old != new and done < options.epochs:
        yield (
            f"{stage}.epochs was {before.epochs} and is {options.epochs} now, and the schedule with it: "
            f"the lr resumes at {new:.3g} instead of {old:.3g}"
        )
