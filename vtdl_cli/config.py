"""The configuration: typed sections, and combinations of settings that are refused.

The defaults are the published ones; a preset states what it changes. `settings.py` reads presets and `--set`.
"""

from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

MOST = 1_000_000  # upper limit of counts: more is a typo, which would exhaust memory or never finish
PositiveInt = Annotated[int, Field(ge=1, le=MOST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MOST)]
Pixels = Annotated[int, Field(ge=1, le=4096)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
FrameRate = Annotated[float, Field(gt=0, le=1000)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Decoder = Literal["auto", "decord", "pyav", "torchcodec"]


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors, and it is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Jitter(Section):
    """Colour jitter, drawn once per clip: factors from 1 - x to 1 + x, the hue from -x to x turns (method/README)."""

    brightness: Fraction = 0.5
    contrast: Fraction = 0.5
    saturation: Fraction = 0.25
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.5
    single_operation: bool = False  # one of the four per clip, the effect of the authors' code; off: all


class Data(Section):
    """From a video file to a clip of pixels."""

    modality: Literal["rgb", "flow"] = "rgb"  # flow: folders of x and y images; no jitter
    decoder: Decoder = "auto"  # of video files: PyAV, the fastest that we measured, and the one that reads them all
    frame_rate: FrameRate | None = None  # frames/s that videos are sampled at; none: every file's own frames
    short_side: Pixels = 256  # pixels; frames are resized to this before anything else
    crop_size: Pixels = 224  # pixels; the input size of the network
    rotation_degrees: Annotated[float, Field(ge=0, le=45)] = 10.0
    jitter: Jitter = Jitter()
    short_videos: Literal["loop", "restart", "sort"] = "loop"  # how clips continue past the end, see clips/sampling.py
    max_bad_fraction: Fraction = 0.05  # of unreadable videos; a run stops above it, if there are 3 or more

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.modality == "flow" and self.frame_rate is not None:
            raise ValueError(
                f"frame_rate {self.frame_rate:g} cannot be sampled where modality is 'flow', whose images have no "
                "times: leave it out"
            )
        if self.crop_size > self.short_side:
            raise ValueError(
                f"crop_size {self.crop_size} is larger than short_side {self.short_side}: increase short_side, too"
            )
        return self


class Model(Section):
    """The network."""

    name: str  # a key of models/zoo.py's BACKBONES
    depth: PositiveInt | None = None  # layers; None for a backbone with a single depth
    width: Annotated[int, Field(ge=1, le=512)] = 64  # channels of the first stage; all others scale with it
    embedding_dim: Annotated[int, Field(ge=1, le=65_536)] = 128
    weight_init: Literal["kaiming", "xavier"] = "kaiming"  # of convolutions: torchvision's, or the authors'


def _refuse_bool(value: Any) -> Any:
    """Python counts True as 1."""
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


class Tca(Section):
    """Temporal-consistent augmentation (method/README; `method/tca.py`); alpha 0 switches it off."""

    version: Annotated[Literal[1, 2, 3], BeforeValidator(_refuse_bool)] = (
        2  # whose still frame is mixed in: 2 its own, 1 the next clip's, 3 a random clip's
    )
    side: Literal["query", "key", "both"] = "query"  # the anchor, the positive, or each with draws of its own
    alpha: BelowOne = 0.1  # the still frame's weight is drawn from 0 to alpha
    per: Literal["batch", "sample"] = "batch"  # one weight for the whole batch, or one for each clip


class Queue(Section):
    """Earlier keys, kept as negatives (method/README; `method/memory.py`)."""

    size: Annotated[int, Field(ge=1, le=10_000_000)]  # keys that each query meets
    memory: Literal["queue", "bank"] = "queue"  # of the latest keys; or of one key for each video, `size` drawn a batch
    mask_own_video: bool = True  # a video's own stale key is no negative to it; another interval's is


class Sampling(Section):
    """Where the clips of a triplet start (method/README; `data/clips/triplets.py`)."""

    negative: Literal["shrink_gap", "shrink_stride", "gap", "shift", "redraw", "on_the_fly"] = "shrink_gap"  # the rule
    gap_frames: NonNegativeInt | None = None  # of our rules: least distance of the starts; none: the rule's own
    threshold_frames: NonNegativeInt = 2  # authors' rules: closer starts are moved apart; on_the_fly has 4
    redraws: NonNegativeInt = 3  # redraw, on_the_fly: how often the negative is drawn before it is moved
    window_frames: PositiveInt | None = None  # that a start leaves to the end; none: the span, the authors' 128

    @model_validator(mode="before")
    @classmethod
    def _threshold_of_the_rule(cls, values: Any) -> Any:
        """Write the rule's own threshold down where none is given."""
        if isinstance(values, dict) and values.get("negative") == "on_the_fly":
            return {"threshold_frames": 4, **values}
        return values

    @model_validator(mode="after")
    def _options_belong(self) -> Self:
        authors = ("shift", "redraw", "on_the_fly")
        belongs = {
            "gap_frames": ("shrink_gap", "shrink_stride", "gap"),
            "threshold_frames": authors,
            "redraws": ("redraw", "on_the_fly"),
        }
        for name, rules in belongs.items():
            if getattr(self, name) != Sampling.model_fields[name].default and self.negative not in rules:
                raise ValueError(f"{name} has no effect where negative is '{self.negative}': leave it out")
        return self

    def given(self) -> dict[str, int]:
        """The options that are not the rule's own."""
        own = Sampling(negative=self.negative)
        return {name: value for name, value in self if value != getattr(own, name)}


class Method(Section):
    """The pretext task; `name` chooses it. A preset may hold keys of another one, `--set` may not.

    What each method reads, and what does not go together, is in `engine/networks/methods.py`.
    """

    name: str = "vtdl"  # one of ours, of an installed package, or package.module:Class (method/README.md)
    options: dict[str, JsonValue] = {}  # of a method from elsewhere, which validates them itself
    temperature: PositiveFloat = 0.07
    momentum: BelowOne = 0.999  # of the key encoder, which at 1 would never move
    intra_video_negative: bool = True  # another interval of the same video as a negative
    intra_video_negative_gradient: bool = True  # off: it is pushed away from, and does not move itself
    strong_negative: bool = False  # one more negative: the positive under `negative_augmentation`
    positive_augmentation: Literal["none", "cut", "motion"] = "none"  # on top of basic augmentation
    negative_augmentation: Literal["none", "shuffle", "block_shuffle", "dropout"] = "none"  # of its frames' order
    loss: Literal["info_nce", "nce"] = "info_nce"
    margin_weight: NonNegativeFloat = 0.0  # of the triplet margin loss beside it
    consistency_weight: NonNegativeFloat = 0.0  # of the spatio-temporal consistency loss beside it
    consistency_transforms: Literal["spatial", "all"] = "spatial"  # 2 flips x 4 rotations, or also flipped in time: 16
    key_statistics: Literal["batch", "running"] = "batch"  # what batch norm of the key encoder goes by
    key_splits: PositiveInt = 1  # parts of a batch of keys that are normalised apart, in one process
    key_shuffle: Literal["auto", "devices", "none"] = "auto"  # ShuffleBN: keys shuffled across ranks; auto: if several
    clusters: Annotated[int, Field(ge=2)] = 64  # of the videos by k-means, whose numbers are pseudo-labels
    relabel_every: PositiveInt = 1  # epochs from one clustering to the next
    sampling: Sampling = Sampling()
    tca: Tca = Tca()
    queue: Queue


class Optimizer(Section):
    """The optimiser."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat
    momentum: Fraction = 0.9  # sgd only
    weight_decay: NonNegativeFloat  # of all parameters, norms and biases included, as in MoCo and the authors' code


class ScheduleSection(Section):
    """The learning-rate schedule."""

    name: Literal["step", "cosine", "constant"] = "step"
    milestones: list[PositiveInt] = []  # step: epochs after which the lr is multiplied by `factor`
    factor: Fraction = 0.1
    warmup_epochs: NonNegativeFloat = 0.0  # linearly from 0 to the full lr; a tenth of a run that is not longer


class Clip(Section):
    """Temporal sampling of a clip."""

    clip_len_frames: Annotated[int, Field(ge=1, le=10_000)]
    stride_frames: PositiveInt


Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class TrainingSection(Clip):
    """Settings of both training stages."""

    epochs: PositiveInt
    batch_size: PositiveInt  # videos, summed over all ranks
    accumulate_steps: Annotated[int, Field(ge=1, le=256)] = 1  # batches whose gradients make one step of the optimizer
    augment: bool = True  # basic augmentation; off: a random crop only
    optimizer: Optimizer
    schedule: ScheduleSection = ScheduleSection()
    max_grad_norm: PositiveFloat | None = None  # L2 norm of all gradients together above which they are scaled down
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"  # auto: bf16, fp16 or fp32, as the device has it
    compile: bool = False  # the backbones, by torch.compile: minutes at the start, faster steps on a GPU
    cuda_graphs: bool = False  # replay the backbones' kernels instead of launching each: for short ones on a GPU
    cache_gb: NonNegativeFloat = 0.0  # of memory, for videos that are decoded before the first step
    checkpoint_minutes: PositiveFloat = 15.0
    keep_every: NonNegativeInt = 0  # epochs between checkpoints to keep; 0 keeps the last only
    trackers: list[Tracker] | None = None  # that log what metrics.jsonl does; none: tensorboard, if it is installed
    log_gradients: bool = False  # of each layer at the end of each epoch, for vtdl plot gradients


class Pretrain(TrainingSection):
    """Self-supervised pretraining."""

    knn_every: NonNegativeInt = 0  # epochs between kNN metrics on the labels of the list; 0 never


class Finetune(TrainingSection):
    """Supervised training, from pretrained weights or from scratch."""

    dropout: Fraction = 0.5  # before the classifier; the authors have it in I3D alone
    backbone_lr_scale: PositiveFloat = 1.0  # lr of the backbone, as a multiple of optimizer.lr, the classifier's
    freeze_stages: NonNegativeInt = 0  # stem and first so many stages of the backbone stay as they are; 0: none does
    sync_batch_norm: bool = False  # batch norm over the batches of all ranks; needs several, on GPUs
    label_smoothing: BelowOne = 0.0  # share of the target that is spread evenly over all classes
    class_weights: Literal["none", "balanced"] = "none"  # of the loss; balanced: n / (k * videos of the class)
    sampling: Literal["shuffle", "balanced"] = "shuffle"  # balanced: each class equally often, as many videos an epoch
    validate_every: NonNegativeInt = 1  # epochs; the last one is always validated, with 0 only that
    best_by: Literal["top1", "mean_class", "macro_f1"] = "top1"  # of validation: chooses best.pt
    patience: NonNegativeInt = 0  # epochs without a better `best_by` after which the run stops early; 0 never

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        if self.class_weights == self.sampling == "balanced":
            raise ValueError(
                "class_weights and sampling are both 'balanced': rare classes would count twice. Leave one of them out"
            )
        if self.cuda_graphs and self.sync_batch_norm:
            raise ValueError("cuda_graphs cannot record what ranks exchange for sync_batch_norm. Leave one of them out")
        if self.patience and not self.validate_every:
            raise ValueError(
                f"patience {self.patience} needs validated epochs. --set finetune.validate_every=1, or more"
            )
        return self


class Evaluate(Section):
    """Test protocol; clips have the length of finetuning."""

    clips: PositiveInt = 10  # spread evenly over the video
    starts: list[NonNegativeInt] = []  # start frames of clips instead; 0 and 10 in the authors' test
    batch_clips: PositiveInt = 16  # clips in one forward pass

    @model_validator(mode="after")
    def _one_way_to_choose_clips(self) -> Self:
        if self.starts and self.clips not in (len(self.starts), Evaluate.model_fields["clips"].default):
            raise ValueError(
                f"clips {self.clips} and {len(self.starts)} starts exclude each other: starts=[] spreads clips"
            )
        return self


class Extract(Clip):
    """Feature extraction."""

    clips: PositiveInt = 10
    batch_clips: PositiveInt = 16


class Config(Section):
    """One preset: all stages of one experiment."""

    data: Data = Data()
    model: Model
    method: Method
    pretrain: Pretrain
    finetune: Finetune
    evaluate: Evaluate = Evaluate()
    extract: Extract

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain types, for checkpoints and YAML."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Convert to YAML that can be read again."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)
