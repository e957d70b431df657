"""The whole chain on generated videos: what pretraining without labels is worth, in minutes and without any data.

Three networks learn from the same few labelled videos: one from nothing, one from nothing with the time of pretraining
added to its own, one from pretrained weights. Every stage is the engine function behind a command of its own.
"""

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.hdf5.features import read_features
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.data.lists.video_list import write_list
from vtdl_cli.data.video.motion import CLASSES, write_videos
from vtdl_cli.engine.evaluate.evaluate import evaluate
from vtdl_cli.engine.evaluate.extract import extract
from vtdl_cli.engine.features.probe import knn
from vtdl_cli.engine.lists.prepare import LIST_FILES, Making, prepare_folder
from vtdl_cli.engine.networks.methods import check_config
from vtdl_cli.engine.report.triplet import draw_triplet
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.engine.train.finetune import finetune
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.engine.train.run_folder import RunFolder, refuse_used_folder
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write
from vtdl_cli.settings import build_config

TEST_FRACTION = 20 / 84
LABELLED_PER_CLASS = 2
CLIPS = (1, 10)  # of the two protocols
RESULT_FILE = "demo.json"


class Bars:
    """The reporter of one stage of many: bars and warnings pass, lines do not."""

    def __init__(self, reporter: Reporter) -> None:
        self.warn, self.progress = reporter.warn, reporter.progress

    def line(self, text: str) -> None:
        """Say nothing."""


@releasing_locks
def demo(
    config: Config, out: Path, execution: Execution, reporter: Reporter, *, videos_per_class: int
) -> dict[str, Any]:
    """Generate videos, pretrain, finetune three ways, evaluate, extract.

    Args:
        config: of all stages.
        out: folder for videos, lists, runs, features and pictures.
        execution: seed of videos and training; where and how.
        reporter: who is told.
        videos_per_class: about a quarter of them to test on.

    Returns:
        Of each network `clip@1`, `video@10` and `knn`; `chance`; `features`, a file; `seconds`; `label_free`, kNN by
        features that no label has touched; `pictures`.

    Raises:
        UsageError: `out` is in use.
        Interrupted: by a signal, after saving.
    """
    began = time.monotonic()
    check_config(config)
    refuse_used_folder(out, "folder", resume=execution.resume, overwrite=execution.overwrite)
    plan: dict[str, Any] = {"out": str(out), "videos": videos_per_class * len(CLASSES), "chance": 100 / len(CLASSES)}
    if execution.dry_run:
        return plan
    lock_folder(out, reporter)
    stages = Stages(out, config, execution, reporter)
    stages.generate(videos_per_class)
    pretrained = stages.pretrain()
    strip = stages.draw_triplet()
    epochs = config.finetune.epochs
    scratch = stages.finetune(3, "from_scratch", epochs, None)
    seconds = seconds_of(pretrained) + seconds_of(scratch)
    longer = round(seconds / float(np.median(epoch_seconds(scratch))))  # the first epoch has the start in it
    networks = {
        "from_scratch": scratch,
        "from_scratch_equal_time": stages.finetune(4, "from_scratch_equal_time", longer, None),
        "pretrained": stages.finetune(5, "pretrained", epochs, str(pretrained)),
    }
    reporter.line("6/6 measuring on the test videos")
    result: dict[str, Any] = {name: stages.measure(run) for name, run in networks.items()}
    result["pretrained"]["seconds"] += seconds_of(pretrained)
    label_free = {"untrained": stages.knn("untrained", None), "pretrained": stages.knn("pretraining", str(pretrained))}
    result |= {
        **plan,
        "pretraining_videos": len(stages.train.read()),
        "labelled_videos": len(stages.labelled.read()),
        "test_videos": len(stages.test.read()),
        "label_free": label_free,
        "features": str(stages.features("pretrained")[1]),
        "pictures": [str(pretrained / "curves.png"), str(strip)],
        "seconds": round(time.monotonic() - began, 1),
    }
    with atomic_write(out / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


@dataclass(frozen=True)
class Stages:
    """One demo's folder, and the stages that fill it."""

    out: Path
    config: Config
    execution: Execution
    reporter: Reporter

    @property
    def bars(self) -> Bars:
        """The reporter of the stages."""
        return Bars(self.reporter)

    @property
    def train(self) -> ListSource:
        """The videos to pretrain on."""
        return self._list(LIST_FILES["train"])

    @property
    def labelled(self) -> ListSource:
        """The few of them that finetuning knows the labels of."""
        return self._list("labelled_split_1.txt")

    @property
    def test(self) -> ListSource:
        """The videos to measure on."""
        return self._list(LIST_FILES["val"])

    def _list(self, name: str) -> ListSource:
        return ListSource(self.out / "lists" / name, self.out / "videos")

    def features(self, name: str) -> tuple[Path, Path]:
        """The features of a network, of labelled and of test videos."""
        return self.out / "features" / f"{name}-labelled.h5", self.out / "features" / f"{name}-test.h5"

    def generate(self, videos_per_class: int) -> None:
        """Videos, all or none, and their lists."""
        total = videos_per_class * len(CLASSES)
        root, part = self.out / "videos", self.out / "videos.part"
        self.reporter.line(f"1/6 generating {total} videos of {len(CLASSES)} motions")
        self._check_same_videos({"seed": self.execution.seed, "videos_per_class": videos_per_class})
        if self.execution.overwrite or not root.exists():
            shutil.rmtree(root, ignore_errors=True)
            shutil.rmtree(part, ignore_errors=True)
            with self.reporter.progress(total, "videos") as bar:
                write_videos(part, videos_per_class, self.execution.seed, bar.advance)
            part.rename(root)
        making = Making(self.train.path.parent, self.bars, workers=self.execution.workers, overwrite=True)
        prepare_folder(root, making, val_fraction=TEST_FRACTION)
        videos = self.train.read()
        drawn = np.flatnonzero(draw_per_class(videos.labels, LABELLED_PER_CLASS, self.execution.seed)).tolist()
        with atomic_write(self.labelled.path) as temporary:
            write_list(temporary, ((videos.name(i), int(videos.labels[i]), int(videos.frames[i])) for i in drawn))

    def _check_same_videos(self, made_with: dict[str, int]) -> None:
        """Refuse to go on with videos of another seed; keep what these ones are made with."""
        path = self.out / "videos.json"
        if path.exists() and not self.execution.overwrite and json.loads(path.read_text()) != made_with:
            raise UsageError(f"folder '{self.out}' was begun with another --seed or --videos. Use --overwrite")
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(made_with) + "\n", encoding="utf-8")

    def pretrain(self) -> Path:
        """Learn from all training videos, without their labels."""
        run = self.out / "pretraining"
        self.reporter.line(f"2/6 pretraining on {len(self.train.read())} videos without labels")
        pretrain(self.config, self.train, run, self.execution, self.bars)
        return run

    def draw_triplet(self) -> Path:
        """A picture of what pretraining sees."""
        path = self.out / "triplet.png"
        draw_triplet(self.config, self.train.read(), path, seed=self.execution.seed)
        return path

    def finetune(self, number: int, name: str, epochs: int, weights: str | None) -> Path:
        """Learn from the few labelled videos; the number is the stage's."""
        run = self.out / name
        config = build_config(self.config.to_dict(), [f"finetune.epochs={epochs}"])
        num_videos = len(self.labelled.read())
        self.reporter.line(f"{number}/6 training {name.replace('_', ' ')}: {epochs} epochs of {num_videos} videos")
        finetune(config, self.labelled, self.test, run, self.execution, self.bars, weights=weights)
        return run

    def measure(self, run: Path) -> dict[str, float]:
        """Accuracies of one finetuned network by each protocol, and of its features."""
        again = replace(self.execution, resume=False, overwrite=True)
        metrics = {}
        for clips in CLIPS:
            protocol = protocol_name(clips)
            metrics = evaluate([str(run)], [self.test], run / protocol, again, self.bars, Protocol(clips))
            metrics[protocol] = metrics["top1"]
        return {**metrics, "knn": self.knn(run.name, str(run)), "seconds": seconds_of(run)}

    def knn(self, name: str, weights: str | None) -> float:
        """Accuracy on the test videos by the label of their nearest labelled video."""
        for videos, file in zip((self.labelled, self.test), self.features(name), strict=True):
            extract(weights, videos, file, self.execution, self.bars, config=self.config)
        known, unknown = (read_features(file) for file in self.features(name))
        return 100 * float(knn(known, unknown)["knn@1"].mean())


def seconds_of(run: Path) -> float:
    """Time that a training took, by its log."""
    return sum(epoch_seconds(run))


def epoch_seconds(run: Path) -> list[float]:
    """Time of each epoch."""
    return [row["seconds"] for row in RunFolder(run, resume=True, overwrite=False).rows()]
