"""The schema of checkpoints: names and types, checked before any content is used."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from vtdl_cli.errors import CheckpointError
from vtdl_cli.text import counted, has_lone_surrogate
from vtdl_cli.yaml_values import check_extent

SECTIONS = ("data", "model", "method", "pretrain", "finetune")
"""Sections of the configuration that weights of all versions have."""


def _dense(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        raise ValueError("should be a plain tensor of numbers")
    return tensor


def _scalar(tensor: Tensor) -> Tensor:
    if tensor.ndim:
        raise ValueError("should be one number")
    return tensor


def _generator_state(tensor: Tensor) -> Tensor:
    try:
        torch.Generator().set_state(tensor)
    except (RuntimeError, TypeError):
        raise ValueError("should be the state of a random generator of torch") from None
    return tensor


def _sections(config: dict[str, Any]) -> dict[str, Any]:
    if missing := [name for name in SECTIONS if not isinstance(config.get(name), dict)]:
        raise ValueError(f"should have a section '{missing[0]}'")
    return config


def _metrics(best: dict[str, float]) -> dict[str, float]:
    if best and not {"epoch", "val_top1"} <= best.keys():
        raise ValueError("should have an epoch and its val_top1")
    return best


def _text(text: str) -> str:
    if has_lone_surrogate(text):
        raise ValueError("has a lone surrogate, which UTF-8 cannot hold")
    return text


Text = Annotated[str, AfterValidator(_text)]
Count = Annotated[int, Field(ge=0)]
Dense = Annotated[Tensor, AfterValidator(_dense)]
Plain = Annotated[dict[str, Any], AfterValidator(check_extent)]


def _fingerprints(tensor: Tensor) -> Tensor:
    if tensor.ndim != 2 or tensor.shape[1] != 2 or tensor.dtype != torch.int64:
        raise ValueError("should be two integers per video")
    return tensor


class Content(BaseModel):
    """A part of the schema; further keys are allowed."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True, protected_namespaces=())


class Selected(Content):
    """How the best epoch of a run is selected; see `engine.networks.selection`."""

    metric: Text
    list_sha256: Text
    videos: Annotated[Dense, AfterValidator(_fingerprints)]


class Weights(Content):
    """The content of every checkpoint; see `TrainingState.to_checkpoint`."""

    stage: Literal["pretrain", "finetune"]
    config: Annotated[Plain, AfterValidator(_sections)]
    classes: list[Text] | None
    num_classes: Count
    list_sha256: Text
    seed: Count
    origin: Plain
    versions: dict[Text, Text]
    model: dict[Text, Dense]
    backbone: Text = ""
    trains_embedding: bool = False
    epoch: float = 0.0
    best: Annotated[dict[Text, float], AfterValidator(_metrics)] = {}
    selection: Selected | None = None
    bad_videos: dict[int, tuple[Text, Text]] = {}

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if self.stage == "finetune":
            if self.classes is not None and len(self.classes) != self.num_classes:
                raise ValueError(
                    f"num_classes {self.num_classes} should be that of the {counted(len(self.classes), 'class')}"
                )
            if not any(tensor.ndim and len(tensor) == self.num_classes for tensor in self.model.values()):
                raise ValueError(f"num_classes {self.num_classes} should be that of the classifier")
        return self


class RandomState(Content):
    """The state of torch's generators."""

    cpu: Annotated[Tensor, AfterValidator(_generator_state)]
    cuda: list[Tensor]


class ParameterGroup(Content):
    """Indices of the parameters that an optimiser updates."""

    params: list[Count]


class OptimizerState(Content):
    """The state of an optimiser, by parameter."""

    state: dict[Count, dict[Text, Dense]]
    param_groups: list[ParameterGroup]


class ScalerState(Content):
    """The state of torch's GradScaler, which scales the loss in fp16."""

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    growth_factor: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    backoff_factor: Annotated[float, Field(gt=0, lt=1)]
    growth_interval: Annotated[int, Field(ge=1)]
    growth_tracker: Annotated[int, Field(ge=0, alias="_growth_tracker")]


class State(Content):
    """The training state, from which a run resumes."""

    optimizer: OptimizerState
    scaler: ScalerState | None = None
    skipped_steps: Count = 0
    step: Count
    best: Annotated[dict[Text, float], AfterValidator(_metrics)]
    validated_epoch: Count = 0
    bad_videos: dict[int, tuple[Text, Text]]
    sums: dict[Text, Annotated[Dense, AfterValidator(_scalar)]]
    recorded: Count
    random: RandomState
    random_of_others: list[RandomState] = []


def check_checkpoint(content: dict[str, Any], path: Path, kind: type[Content] = Weights) -> None:
    """Check the content of a file against the schema.

    Raises:
        CheckpointError: a key is missing or has another type; the message names the first.
    """
    try:
        kind.model_validate(content)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, detail["loc"]))
        rule = "is missing" if detail["type"] == "missing" else detail["msg"].removeprefix("Value error, ")
        rule = rule.replace("Input should", "should").replace("Field", "it")
        raise CheckpointError(
            f"weights '{path}' are not as vtdl writes them: {f'{name!r} ' if name else ''}{rule}. "
            "Use another checkpoint of the run"
        ) from error
