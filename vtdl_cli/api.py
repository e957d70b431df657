"""What Python code imports, see `vtdl_cli`: trained networks for single videos, and files of features.

Shapes: `T` frames, `H` x `W` pixels, `R` pixels the side of a crop, `D` feature channels, `N` videos or clips.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from vtdl_cli.data.hdf5 import features as feature_files
from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.networks.clips import build_test_sampler, choose_clips
from vtdl_cli.engine.networks.inference import check_finite_scores
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.one_video import ClipTransform, Video, forward_video
from vtdl_cli.engine.networks.trained import Source, load_network, refuse_pretrained
from vtdl_cli.metrics import softmax
from vtdl_cli.models.encoder import Backbone, Encoder, PooledFeatures
from vtdl_cli.runtime import select_autocast, select_device
from vtdl_cli.text import counted

__all__ = ["Features", "Model", "load", "read_features"]


class Model:
    """A trained network; `load` makes one.

    Attributes:
        module: the torch module, in evaluation mode: clips float32 [N, 3, T, R, R] -> logits [N, classes] where it was
            finetuned, else the feature map [N, D, t, h, w].
        device: the torch device that it is on.
        classes: names of its outputs, in their order; None where it was only pretrained.
        feature_dim: D.
        transform: a function, frames of one clip uint8 [T, H, W, 3] -> input of `module` without N: float32
            [3, T, R, R], resized, cropped at the centre and normalised. For optical flow it is 2 in place of 3.
    """

    def __init__(self, network: Encoder | Backbone, source: Source, device: str) -> None:
        config = source.config
        backbone = network.backbone if isinstance(network, Encoder) else network
        self._source, self.device = source, select_device(device)
        self.module: nn.Module = self._machine("fp32").place(network)
        self.classes = source.class_names if isinstance(network, Encoder) else None
        self.feature_dim = backbone.feature_dim
        self.transform = ClipTransform(config.data.short_side, config.data.crop_size, CHANNELS[config.data.modality])
        self._pooled = PooledFeatures(backbone)

    def predict(self, video: Video, *, clips: int | None = None) -> dict[str, float]:
        """Classify a video, as `vtdl evaluate` and `vtdl predict` do.

        Args:
            video: a file or a folder of frames; or its decoded frames, uint8 [T, H, W, 3], at the frame rate of
                the network's configuration if that has one.
            clips: spread evenly over the video; None: as configured.

        Returns:
            Class name -> probability, the mean over the clips, the most probable first.

        Raises:
            VtdlError: the network has no classifier, the video cannot be read, or the array does not hold frames.
        """
        config, path = self._source.config, self._source.path
        if self.classes is None:
            raise refuse_pretrained(path, path)
        starts, number = choose_clips(config, clips)
        sampler = build_test_sampler(config, config.finetune, clips=number, starts=starts)
        machine = self._machine(config.finetune.precision)
        logits = forward_video(self.module, video, config, sampler, machine, config.evaluate.batch_clips)
        check_finite_scores(logits, path)
        probabilities = softmax(logits).mean(0)
        order = np.argsort(-probabilities, kind="stable")
        return {self.classes[number]: float(probabilities[number]) for number in order}

    def features(self, video: Video, *, clips: int | None = None) -> np.ndarray:
        """Return the features of a video, float32 [D], the mean over its clips, as `vtdl extract` does.

        Args, raises: see `predict`; no classifier is needed.
        """
        config = self._source.config
        sampler = build_test_sampler(config, config.extract, clips=clips or config.extract.clips)
        machine = self._machine(self._source.precision)
        vectors = forward_video(self._pooled, video, config, sampler, machine, config.extract.batch_clips)
        mean: np.ndarray = vectors.mean(0)
        return mean

    def _machine(self, precision: str) -> Machine:
        return Machine(self.device, select_autocast(precision, self.device), workers=0)

    def __repr__(self) -> str:
        outputs = "no classifier" if self.classes is None else counted(len(self.classes), "class")
        return f"Model('{self._source.path}': {self._source.config.model.name}, {outputs}, {self.device})"


def load(weights: str | Path, *, device: str = "auto", settings: Sequence[str] = ()) -> Model:
    """Load a trained network.

    Args:
        weights: what `--weights` takes: a run folder, a checkpoint, a safetensors file, or a hub's folder.
        device: `auto`, `cpu`, `cuda` or `mps`.
        settings: `section.key=value` on top of the configuration inside the weights, as with `--set`.

    Raises:
        VtdlError: there are no such weights, they are damaged, or do not fit the settings.
    """
    return Model(*load_network(str(weights), settings, _warn), device)


def read_features(path: str | Path) -> Features:
    """Read a file of `vtdl extract` or `vtdl features import`, averaged to one vector for each video.

    Returns:
        `values` float32 [N, D], `labels` int64 [N] (-1: without a class), N `paths` as in the list, `attributes` (their
        provenance), `intervals` float64 [N, 2] in seconds or None, `label_set.names` of the classes or None.

    Raises:
        VtdlError: it is no such file, it is damaged, or a value is not finite.
    """
    return feature_files.read_features(Path(path), _warn)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2)
