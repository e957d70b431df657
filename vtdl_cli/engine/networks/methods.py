"""Pretraining methods by name: the only list of ours, and how those from elsewhere are found and built."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, get_args

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.build import build_embedder, build_linear, clip_mistakes
from vtdl_cli.engine.networks.contrast import build_instance_discrimination, build_vtdl, triplet_mistakes, vtdl_mistakes
from vtdl_cli.errors import ConfigError, ListError, UsageError, VtdlError
from vtdl_cli.method.clip_order import ClipOrder
from vtdl_cli.method.instance_discrimination import InstanceDiscrimination
from vtdl_cli.method.mutual_learning import MutualLearning
from vtdl_cli.method.pretext_task import Context, PretextTask, Sampler
from vtdl_cli.method.pseudo_labels import PseudoLabels
from vtdl_cli.method.speed import SpeedPrediction
from vtdl_cli.method.stcr import STCR
from vtdl_cli.method.transform_prediction import TransformPrediction
from vtdl_cli.method.triplet_margin import TripletMargin
from vtdl_cli.method.vtdl import VTDL
from vtdl_cli.models.zoo import check_backbone
from vtdl_cli.setting_keys import all_keys
from vtdl_cli.settings import without_effect
from vtdl_cli.text import counted

ENTRY_POINTS = "vtdl.methods"
"""The group of entry points by which an installed package gives its methods short names."""


class RegisteredMethod(NamedTuple):
    """A method that can be chosen.

    Attributes:
        task: its class.
        build: configuration and number of videos -> a randomly initialised task; none: by `PretextTask.build`.
        mistakes: configuration -> an error line for each of its settings that do not go together.
    """

    task: type[PretextTask]
    build: Callable[[Config, int], PretextTask] | None = None
    mistakes: Callable[[Config], Iterable[str]] = lambda _config: ()


def build_pseudo_labels(config: Config, num_videos: int) -> PseudoLabels:
    """Build a classifier over the clusters of the list's videos.

    Raises:
        ListError: there are fewer videos than clusters.
    """
    clusters = config.method.clusters
    if num_videos < clusters:
        raise ListError(
            f"the training list has {counted(num_videos, 'video')}, fewer than method.clusters {clusters}. "
            f"--set method.clusters={max(2, num_videos // 4)}"
        )
    return PseudoLabels(build_linear(config, clusters), num_videos, clusters, config.method.relabel_every)


def transform_mistakes(config: Config) -> Iterator[str]:
    """Yield an error line where flow would be flipped and rotated as if it were colours."""
    if config.data.modality == "flow":
        yield (
            f"method.name '{config.method.name}' flips and rotates frames, and flow would have to turn with them. "
            "Choose another method"
        )


METHODS = {
    "vtdl": RegisteredMethod(VTDL, build_vtdl, vtdl_mistakes),
    "instance_discrimination": RegisteredMethod(InstanceDiscrimination, build_instance_discrimination),
    "clip_order": RegisteredMethod(ClipOrder),
    "speed": RegisteredMethod(SpeedPrediction),
    "stcr": RegisteredMethod(STCR, mistakes=transform_mistakes),
    "transform_prediction": RegisteredMethod(TransformPrediction, mistakes=transform_mistakes),
    "mutual_learning": RegisteredMethod(MutualLearning, mistakes=transform_mistakes),
    "triplet_margin": RegisteredMethod(TripletMargin),
    "pseudo_labels": RegisteredMethod(PseudoLabels, build_pseudo_labels),
}
"""`method.name` -> the method, of our own."""


def find_method(name: str) -> RegisteredMethod:
    """Find a method by its name in METHODS or among the entry points, or by `package.module:Class`.

    Raises:
        UsageError: nothing goes by that name, or it is not a method.
    """
    if name in METHODS:
        return METHODS[name]
    installed = {each.name: each.value for each in entry_points(group=ENTRY_POINTS)}
    module, _, attribute = installed.get(name, name).partition(":")
    if not attribute:
        known = ", ".join([*METHODS, *installed])
        raise UsageError(f"method.name '{name}' is not known. Choose {known}, or package.module:Class of your own")
    return RegisteredMethod(_import_task(name, module.strip(), attribute.strip()))


def _import_task(name: str, module: str, attribute: str) -> type[PretextTask]:
    """Import the class of a method from elsewhere; its module may also be in the working directory."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()  # the file may be newer than the cached listing of its folder
    try:
        found = attrgetter(attribute)(importlib.import_module(module))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"method.name '{name}' needs module '{error.name}', which cannot be found. "
            "Install it, or start vtdl in the folder that it is in"
        ) from error
    except Exception as error:  # whatever the module does when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"method.name '{name}' cannot be imported ({reason}). --debug shows where") from error
    if not (isinstance(found, type) and issubclass(found, PretextTask)):
        raise UsageError(
            f"method.name '{name}' is no subclass of vtdl_cli.method.pretext_task.PretextTask. Name one that is"
        )
    if found.sampler not in get_args(Sampler):
        raise UsageError(
            f"method.name '{name}' has sampler '{found.sampler}'. Make it one of {', '.join(get_args(Sampler))}"
        )
    return found


def build_method(config: Config, num_videos: int) -> PretextTask:
    """Build the method of a configuration around a randomly initialised encoder, for a list of `num_videos`.

    Raises:
        UsageError, ListError: there is no such method, or its settings do not go with the list.
    """
    method = find_method(config.method.name)
    return method.build(config, num_videos) if method.build else _build_from_context(method.task, config, num_videos)


def _build_from_context(task: type[PretextTask], config: Config, num_videos: int) -> PretextTask:
    context = Context(
        num_videos,
        config.method.options,
        new_classifier=partial(build_linear, config),
        new_embedder=partial(build_embedder, config),
        embedding_dim=config.model.embedding_dim,
    )
    name = config.method.name
    try:
        built = task.build(context)
    except NotImplementedError as error:
        raise UsageError(f"method.name '{name}' has no classmethod build(context). Write one") from error
    except ValueError as error:
        raise ConfigError(f"method.options of '{name}' are not valid: {error}") from error
    except VtdlError:
        raise
    except Exception as error:  # whatever a class from elsewhere does
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"method.name '{name}' cannot be built ({reason}). --debug shows where") from error
    if not isinstance(built, PretextTask):
        raise UsageError(f"method.name '{name}' has a build(context) that returns no PretextTask. Return one")
    if not any(each == task.backbone_name for each, _ in built.named_modules()):
        raise UsageError(f"method.name '{name}' has no module '{task.backbone_name}'. Set its backbone_name")
    return built


def check_config(config: Config, assignments: Iterable[str] = ()) -> None:
    """Check the names of backbone and method, and the settings of the method, before anything is built.

    Args:
        config: the configuration.
        assignments: `--set` assignments that are part of it: they may not set what the method does not read. A preset
            may: who switches to another method need not remove the settings of the first.

    Raises:
        UsageError: there is no such backbone or method.
        ConfigError: with one line for each mistake in the settings of the method.
    """
    check_backbone(config.model.name, config.model.depth)
    method = find_method(config.method.name)
    idle = without_effect(assignments, _idle_settings(config, method.task))
    mistakes = [*idle, *clip_mistakes(config, "pretrain", "finetune"), *_too_short(config, method.task)]
    if method.task.sampler == "triplet":
        mistakes += triplet_mistakes(config)
    if mistakes := [*mistakes, *method.mistakes(config)]:
        raise ConfigError(*mistakes)


def _idle_settings(config: Config, task: type[PretextTask]) -> dict[str, str]:
    """Return the keys of section `method` that a method does not read, and the reason."""
    settings = [key.removeprefix("method.") for key in all_keys() if key.startswith("method.")]
    reason = f"method.name is '{config.method.name}'"
    return {f"method.{each}": reason for each in settings if each != "name" and not task.reads(each)}


def _too_short(config: Config, task: type[PretextTask]) -> Iterator[str]:
    if config.pretrain.clip_len_frames < task.min_clip_len_frames:
        yield (
            f"pretrain.clip_len_frames {config.pretrain.clip_len_frames} is too short for method.name "
            f"'{config.method.name}': make it {task.min_clip_len_frames} or more"
        )
