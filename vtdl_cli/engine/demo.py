"""The whole chain on generated videos: what pretraining without labels gains, in minutes and without any data.

Three networks are trained on the same few labelled videos: one from scratch, one from scratch for the time of
pretraining and finetuning together, and one from pretrained weights. Each stage calls the engine function of a command.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.hdf5.features import read_features
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.data.lists.video_list import write_list
from vtdl_cli.data.video.motion import CLASSES, write_videos
from vtdl_cli.engine.features.probe import knn
from vtdl_cli.engine.lists.build_lists import PrepareOptions
from vtdl_cli.engine.lists.outputs import LIST_FILES
from vtdl_cli.engine.lists.prepare import prepare_folder
from vtdl_cli.engine.networks.methods import check_config
from vtdl_cli.engine.report.triplet import draw_triplet
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.engine.stages import StageReporter, epoch_seconds, extract_lists, measure_top1, training_seconds
from vtdl_cli.engine.train.finetune import finetune
from vtdl_cli.engine.train.freezing import check_freezing
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.engine.train.run_folder import refuse_used_folder
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write
from vtdl_cli.settings import build_config

TEST_FRACTION = 20 / 84
LABELLED_PER_CLASS = 2
CLIPS = (1, 10)  # number of clips of the two protocols
RESULT_FILE = "demo.json"


@releasing_locks
def demo(
    config: Config, out: Path, execution: Execution, reporter: Reporter, *, videos_per_class: int
) -> dict[str, Any]:
    """Generate videos, pretrain, finetune three ways, evaluate, extract.

    Args:
        config: configuration of all stages.
        out: folder for videos, lists, runs, features and figures.
        execution: seed of videos and training; how to run.
        reporter: for progress and the name of each stage.
        videos_per_class: videos to generate, about a quarter of them to test on.

    Returns:
        `clip@1`, `video@10` and `knn` of each network; `chance`; `features`, a file; `seconds`; `label_free`, kNN on
        features learned without labels; `pictures`, the figures.

    Raises:
        UsageError: `out` is in use.
        Interrupted: by a signal, after saving.
    """
    began = time.monotonic()
    check_config(config)
    check_freezing(config.finetune, weights=None, linear_probe=False)  # two of three networks begin from scratch
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
    seconds = training_seconds(pretrained) + training_seconds(scratch)
    longer = round(seconds / float(np.median(epoch_seconds(scratch))))  # the first epoch includes start-up
    networks = {
        "from_scratch": scratch,
        "from_scratch_equal_time": stages.finetune(4, "from_scratch_equal_time", longer, None),
        "pretrained": stages.finetune(5, "pretrained", epochs, str(pretrained)),
    }
    reporter.line("6/6 evaluating on the test videos")
    result: dict[str, Any] = {name: stages.evaluate(run) for name, run in networks.items()}
    result["pretrained"]["seconds"] += training_seconds(pretrained)
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
    """The stages of a demo, and its folder."""

    out: Path
    config: Config
    execution: Execution
    reporter: Reporter

    @property
    def stage_reporter(self) -> StageReporter:
        """The reporter for the functions that stages call."""
        return StageReporter(self.reporter)

    @property
    def train(self) -> ListSource:
        """The videos to pretrain on."""
        return self._list(LIST_FILES["train"])

    @property
    def labelled(self) -> ListSource:
        """The few of them that are used with labels, for finetuning."""
        return self._list("labelled_split_1.txt")

    @property
    def test(self) -> ListSource:
        """The videos to test on."""
        return self._list(LIST_FILES["val"])

    def _list(self, name: str) -> ListSource:
        return ListSource(self.out / "lists" / name, self.out / "videos")

    def features(self, name: str) -> tuple[Path, Path]:
        """Return the feature files of a network, for labelled and for test videos."""
        return self.out / "features" / f"{name}-labelled.h5", self.out / "features" / f"{name}-test.h5"

    def generate(self, videos_per_class: int) -> None:
        """Generate videos, all or none, and their lists."""
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
        options = PrepareOptions(
            self.train.path.parent, self.stage_reporter, workers=self.execution.workers, overwrite=True
        )
        prepare_folder(root, options, labels="folder", val_fraction=TEST_FRACTION)
        videos = self.train.read()
        drawn = np.flatnonzero(draw_per_class(videos.labels, LABELLED_PER_CLASS, self.execution.seed)).tolist()
        with atomic_write(self.labelled.path) as temporary:
            write_list(temporary, ((videos.name(i), int(videos.labels[i]), int(videos.frames[i])) for i in drawn))

    def _check_same_videos(self, settings: dict[str, int]) -> None:
        """Refuse to resume with videos of another seed or number; record those of the new videos."""
        path = self.out / "videos.json"
        if path.exists() and not self.execution.overwrite and json.loads(path.read_text()) != settings:
            raise UsageError(f"folder '{self.out}' was begun with another --seed or --videos. Use --overwrite")
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8")

    def pretrain(self) -> Path:
        """Pretrain on all training videos, without labels."""
        run = self.out / "pretraining"
        self.reporter.line(f"2/6 pretraining on {len(self.train.read())} videos without labels")
        pretrain(self.config, self.train, run, self.execution, self.stage_reporter)
        return run

    def draw_triplet(self) -> Path:
        """Draw an example of the clips that pretraining compares."""
        path = self.out / "triplet.png"
        draw_triplet(self.config, self.train.read(), path, seed=self.execution.seed)
        return path

    def finetune(self, number: int, name: str, epochs: int, weights: str | None) -> Path:
        """Finetune on the few labelled videos.

        Args:
            number: number of the stage, to report.
            name: name of the network.
            epochs: number of epochs.
            weights: pretrained weights; None: random weight init.
        """
        run = self.out / name
        config = build_config(self.config.to_dict(), [f"finetune.epochs={epochs}"])
        num_videos = len(self.labelled.read())
        self.reporter.line(f"{number}/6 training {name.replace('_', ' ')}: {epochs} epochs of {num_videos} videos")
        finetune(config, self.labelled, self.test, run, self.execution, self.stage_reporter, weights=weights)
        return run

    def evaluate(self, run: Path) -> dict[str, float]:
        """Return a network's accuracy by each protocol and by kNN on its features, and its training time in seconds."""
        accuracies = {}
        for clips in CLIPS:
            name = protocol_name(clips)
            accuracies[name] = measure_top1(
                run, self.test, run / name, self.execution, self.stage_reporter, Protocol(clips)
            )
        return {**accuracies, "knn": self.knn(run.name, str(run)), "seconds": training_seconds(run)}

    def knn(self, name: str, weights: str | None) -> float:
        """Return the test accuracy of the nearest labelled neighbour, in percent."""
        files = self.features(name)
        extract_lists(weights, self.config, (self.labelled, self.test), files, self.execution, self.stage_reporter)
        known, unknown = map(read_features, files)
        return 100 * float(knn(known, unknown)["knn@1"].mean())
