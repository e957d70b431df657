"""The methods that can be chosen: what their settings have to be, and how those from elsewhere are found."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.toy import Toy, load, refuse, succeed, vtdl
from vtdl_cli.config import Config
from vtdl_cli.config import Method as MethodSection
from vtdl_cli.engine.networks.methods import METHODS, build_method, check_config, find_method
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.method.clip_order import ClipOrder
from vtdl_cli.setting_keys import all_keys
from vtdl_cli.settings import load_config


def check(*assignments: str) -> Config:
    """The demo's preset with assignments, which have to pass."""
    config = load_config("demo", assignments)
    check_config(config, assignments)
    return config


def mistakes(*assignments: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        check(*assignments)
    return str(error.value).splitlines()


# ---- settings


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["method.queue.size=15"], "method.queue.size 15 holds less than one batch: make it 16 or more"),
        (["method.strong_negative=true"], "strong_negative is the positive itself without a negative_augmentation"),
        (["method.consistency_transforms=all"], "consistency_transforms has no effect without a consistency_weight"),
        (["method.key_splits=9"], "method.key_splits 9 leaves parts of one clip: make it 8 or less"),
        (
            ["method.intra_video_negative=false", "method.intra_video_negative_gradient=false"],
            "has no effect without intra_video_negative",
        ),
        (
            ["method.intra_video_negative=false", "method.margin_weight=1"],
            "margin_weight needs the intra-video negative",
        ),
        (
            ["method.intra_video_negative=false", "method.negative_augmentation=shuffle"],
            "negative_augmentation has no effect",
        ),
        (["method.key_splits=2", "method.key_statistics=running"], "key_splits has no effect where"),
        (
            ["data.short_videos=restart", "method.sampling.negative=gap"],
            "data.short_videos 'restart' does not loop, and method.sampling.negative",
        ),
        (
            ["data.short_videos=sort", "method.sampling.negative=gap"],
            "data.short_videos 'sort' does not loop, and method.sampling.negative",
        ),
        (
            ["method.intra_video_negative=false", "method.sampling.gap_frames=9"],
            "sampling.gap_frames has no effect without intra_video_negative",
        ),
        (
            [
                "method.intra_video_negative=false",
                "method.sampling={negative: on_the_fly, threshold_frames: 2, redraws: 1}",
            ],
            "sampling.threshold_frames has no effect without intra_video_negative",
        ),
        (
            ["method.sampling={negative: gap, window_frames: 3}"],
            "method.sampling.window_frames 3 is shorter than a clip: make it",
        ),
        (
            ["method.name=clip_order", "pretrain.clip_len_frames=2"],
            "clip_len_frames 2 is too short for method.name 'clip_order': make it 3 or more",
        ),
        (["data.modality=flow", "method.consistency_weight=1"], "flow would have to rotate too"),
        (["data.modality=flow", "method.name=stcr"], "method.name 'stcr' flips and rotates frames, and flow would"),
        (["data.modality=flow", "method.name=transform_prediction"], "'transform_prediction' flips and rotates frames"),
        (["data.modality=flow", "method.name=mutual_learning"], "method.name 'mutual_learning' flips and rotates"),
        (
            ["method.name=speed", "pretrain.clip_len_frames=1"],
            "pretrain.clip_len_frames 1 is too short for method.name 'speed': make it 2 or more",
        ),
        (["method.name=speed", "method.options.speeds=4"], "'method.options.speeds=4' has no effect where method.name"),
        (["method.key_shuffle=devices", "method.key_statistics=running"], "key_shuffle has no effect where"),
        (
            ["method.name=clip_order", "method.tca.alpha=0"],
            "'method.tca.alpha=0' has no effect where method.name is 'clip_",
        ),
        (["method.margin_weight=1", "method.name=pseudo_labels"], "has no effect where method.name is 'pseudo_labels'"),
        (
            ["method.name=instance_discrimination", "method.queue.memory=bank"],
            "'method.queue.memory=bank' has no effect",
        ),
        (["method.clusters=9"], "'method.clusters=9' has no effect where method.name is 'vtdl'"),
        (
            ["method.tca.version=3", "pretrain.batch_size=1"],
            "method.tca.version 3 needs another clip: make pretrain.batch_size 2 or more",
        ),
        (["method.tca.version=1", "pretrain.batch_size=1"], "method.tca.version 1 needs another clip"),
        (
            ["method.negative_augmentation=shuffle", "pretrain.clip_len_frames=1"],
            "'shuffle' changes nothing in one frame: make pretrain.clip_len_frames 2 or more",
        ),
        (
            ["method.negative_augmentation=block_shuffle", "pretrain.clip_len_frames=1"],
            "method.negative_augmentation 'block_shuffle' changes nothing",
        ),
        (
            ["method.positive_augmentation=motion", "pretrain.clip_len_frames=1"],
            "method.positive_augmentation 'motion' changes nothing in one frame",
        ),
    ],
)
def test_settings__options_that_contradict(assignments: list[str], says: str) -> None:
    (line,) = mistakes(*assignments)
    assert says in line


@pytest.mark.parametrize(
    "assignments",
    [
        ["data.short_videos=restart", "method.sampling.negative=shift", "method.sampling.window_frames=128"],
        ["data.short_videos=sort", "method.sampling.negative=on_the_fly"],
        ["data.short_videos=restart", "method.intra_video_negative=false"],
        ["data.short_videos=restart", "method.name=clip_order"],
        ["method.sampling.negative=on_the_fly", "method.intra_video_negative=false"],
        ["method.sampling={negative: gap, window_frames: 40}", "method.intra_video_negative=false"],
    ],
)
def test_settings__options_that_go_together(assignments: list[str]) -> None:
    check(*assignments)


def test_settings__what_the_chosen_method_knows() -> None:
    chosen = check("method.name=instance_discrimination", "method.queue={size: 20}", "method.loss=nce")
    assert (chosen.method.queue.size, chosen.method.loss) == (20, "nce")
    assert check("method.name=pseudo_labels", "method.clusters=9").method.clusters == 9


def test_settings__of_a_bank_may_be_read_in_smaller_parts_than_a_batch() -> None:
    assert check("method.queue.size=4", "method.queue.memory=bank").method.queue.size == 4


def test_settings__smallest_queue_is_one_batch() -> None:
    assert check("method.queue.size=16").method.queue.size == 16


def test_settings__each_is_read_by_a_method() -> None:
    """Oracle: the section's own keys, without sections, the name, and what is for methods from elsewhere."""
    keys = all_keys(MethodSection)
    single = {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)} - {"name", "options"}
    tasks = [method.task for method in METHODS.values()]
    assert {key for key in single if not any(task.reads(key) for task in tasks)} == set()
    assert {key for task in tasks for key in task.settings} <= set(keys)


@pytest.mark.parametrize(
    ("key", "is_read"),
    [("queue", True), ("queue.size", True), ("queue.memory", False), ("queues", False), ("tca.alpha", False)],
)
def test_reads__a_key_its_section_and_what_is_in_it(key: str, is_read: bool) -> None:
    """Oracle: instance discrimination declares `queue.size`, VTDL `queue`."""
    assert METHODS["instance_discrimination"].task.reads(key) == is_read
    assert METHODS["vtdl"].task.reads(key) == (key != "queues")


@pytest.mark.parametrize("command", ["pretrain", "finetune", "demo", "presets show", "visualize triplet"])
def test_commands__refuse_a_backbone_that_there_is_not(command: str, toy: Toy, tmp_path: Path) -> None:
    lists = {"finetune": toy.finetune, "pretrain": toy.pretrain}
    out = tmp_path / "out"
    line = {
        "demo": ["demo", "--out", str(out)],
        "presets show": ["presets", "show", "demo"],
        "visualize triplet": [*command.split(), "--preset", "demo", "--list", str(toy.train_list), "--out", str(out)],
    }
    words = lists[command](out) if command in lists else line[command]
    refuse(*words, "--set", "model.name=resnet", code=2, says=("model.name 'resnet' is not a backbone. Choose one of",))
    assert not out.exists()


@pytest.mark.parametrize("value", ["3", "2020-01-01", "!!binary /w==", "{3: 4}", "{a: 2020-01-01}"])
def test_options__are_a_section_of_plain_values(value: str) -> None:
    (line,) = mistakes(f"method.options={value}")
    assert line.startswith("method.options")
    assert "in --set is not valid: " in line


# ---- methods from elsewhere

MODULE = """
from vtdl_cli.method.pretext_task import Context, PretextTask

class Mine(PretextTask):
    min_clip_len_frames = 99

    @classmethod
    def build(cls, context):
        return cls()

class Outer:
    Inner = Mine

class Pair(PretextTask):
    sampler = "quartet"

class Keyless(PretextTask):
    @classmethod
    def build(cls, context):
        return cls(context.options["share"])
class Nothing(PretextTask):
    @classmethod
    def build(cls, context):
        return None
class Unbuilt(PretextTask):
    pass

class Headless(PretextTask):
    @classmethod
    def build(cls, context):
        return cls()

class Triplet(PretextTask):
    sampler = "triplet"

NUMBER = 3
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with modules in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    (tmp_path / "my_methods.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needy.py").write_text("import module_that_is_nowhere")
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", ["my_methods:Mine", "my_methods:Outer.Inner"])
def test_find_method__by_path(name: str) -> None:
    assert find_method(name).task.__name__ == "Mine"
    says = f"pretrain.clip_len_frames 8 is too short for method.name '{name}': make it 99 or more"
    assert mistakes(f"method.name={name}", "method.options.anything=[1, 2]") == [says]
    says = f"--set 'method.tca.alpha=0' has no effect where method.name is '{name}'. Leave it out"
    assert mistakes(f"method.name={name}", "method.tca.alpha=0")[0] == says


@pytest.mark.usefixtures("elsewhere")
def test_check_config__triplets_of_any_method_have_to_fit_their_clips() -> None:
    settings = (
        "method.name=my_methods:Triplet",
        "method.sampling={negative: gap, window_frames: 2}",
        "data.short_videos=restart",
    )
    with pytest.raises(ConfigError) as caught:
        check_config(load_config("demo", settings))
    assert [line.split(":")[0] for line in caught.value.lines] == [
        "method.sampling.window_frames 2 is shorter than a clip",
        "data.short_videos 'restart' does not loop, and method.sampling.negative 'gap' counts round the loop in short videos",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vdtl", "method.name 'vdtl' is not known. Choose vtdl, instance_discrimination, clip_order, "),
        ("nowhere:Mine", "method.name 'nowhere:Mine' needs module 'nowhere', which cannot be found. Install it, or "),
        ("needy:Mine", "method.name 'needy:Mine' needs module 'module_that_is_nowhere', which cannot be found. "),
        ("my_methods:Yours", "cannot be imported (AttributeError: module 'my_methods' has no attribute 'Yours')"),
        ("broken:Mine", "method.name 'broken:Mine' cannot be imported (ZeroDivisionError: division by zero)"),
        (":Mine", "method.name ':Mine' cannot be imported (ValueError: Empty module name)"),
        ("my_methods:NUMBER", "method.name 'my_methods:NUMBER' is no subclass of vtdl_cli.method.pretext_task."),
        (
            "my_methods:Pair",
            "method.name 'my_methods:Pair' has sampler 'quartet'. Make it one of clip, pair, speed, triplet",
        ),
        ("my_methods:Unbuilt", "method.name 'my_methods:Unbuilt' has no classmethod build(context). Write one"),
        ("my_methods:Keyless", "method.name 'my_methods:Keyless' cannot be built (KeyError: 'share'). --debug shows"),
        ("my_methods:Nothing", "has a build(context) that returns no PretextTask. Return one"),
        ("my_methods:Headless", "has no module 'encoder.backbone'. Set its backbone_name"),
        ("my_methods:Outer", "method.name 'my_methods:Outer' is no subclass of vtdl_cli.method.pretext_task."),
    ],
)
def test_pretrain__method_that_cannot_be_had_is_one_line(name: str, says: str, toy: Toy, elsewhere: Path) -> None:
    refuse(*toy.pretrain(elsewhere / "run", "--set", f"method.name={name}"), code=2, says=(says,))
    assert not (elsewhere / "run").exists()


def test_find_method__by_the_short_name_of_an_installed_package(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: packaging.python.org, Entry points: entry_points.txt in a package's dist-info on the path."""
    info = elsewhere / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vtdl.methods]\nmine = my_methods:Mine\nclip_order = my_methods:Mine\n")
    monkeypatch.syspath_prepend(elsewhere)
    assert find_method("mine").task.__name__ == "Mine"
    assert find_method("clip_order").task is ClipOrder  # ours stay
    with pytest.raises(UsageError, match="Choose vtdl, .*, pseudo_labels, mine, "):
        find_method("yours")


@pytest.mark.parametrize(
    ("name", "option", "says"),
    [
        (
            "stcr",
            "transform=all",
            "'transform' is not one of its options. Choose from transforms, mixup_alpha, classifica",
        ),
        ("stcr", "transforms=some", "transforms 'some' is not one of rotations, spatial, all"),
        ("stcr", "transforms=3", "transforms '3' is not a word"),
        ("transform_prediction", "consistency_weight=true", "consistency_weight 'True' is not a number of at least 0"),
        ("transform_prediction", "mixup_alpha=1.5", "mixup_alpha '1.5' is above 1"),
        ("mutual_learning", "divergence_weight=-1", "divergence_weight '-1' is not a number of at least 0"),
        ("triplet_margin", "margin=wide", "margin 'wide' is not a number of at least 0"),
    ],
)
def test_options__of_our_methods_are_checked(name: str, option: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_method(check(f"method.name={name}", f"method.options.{option}"), 100)
    assert caught.value.lines[0].startswith(f"method.options of '{name}' are not valid: {says}")


# ---- checkpoints

HEAD = ("head.linear.bias", "head.linear.weight")
STATES = {
    "vtdl": {
        *(f"encoders.{side}.{name}" for side in ("key", "query") for name in ("backbone", *HEAD)),
        *(f"memory.{name}" for name in ("ages", "keys", "pointer", "videos")),
    },
    "vtdl method.queue.memory=bank method.loss=nce": {
        *(f"encoders.{side}.{name}" for side in ("key", "query") for name in ("backbone", *HEAD)),
        *("memory.ages", "memory.keys", "criterion.log_normaliser"),
    },
    "instance_discrimination": {"bank.ages", "bank.keys", *(f"encoder.{name}" for name in ("backbone", *HEAD))},
    "clip_order": {f"encoder.{name}" for name in ("backbone", *HEAD)},
    "stcr": {"backbone", "classifier.linear.bias", "classifier.linear.weight"},
    "stcr method.options.classification_weight=0": {"backbone"},
    "transform_prediction": {"backbone", "classifier.linear.bias", "classifier.linear.weight"},
    "mutual_learning": {f"{network}.{name}" for network in ("encoder", "peer") for name in ("backbone", *HEAD)},
    "speed": {f"encoder.{name}" for name in ("backbone", *HEAD)},
    "triplet_margin": {f"encoder.{name}" for name in ("backbone", *HEAD)},
    "pseudo_labels": {"labels", *(f"encoder.{name}" for name in ("backbone", *HEAD))},
}
"""Method -> names in its state dict, a backbone's as one: those of earlier versions, whose checkpoints are still resumed."""


@pytest.mark.parametrize("name", STATES)
def test_state__names_stay(name: str) -> None:
    config = check(*f"model.width=4 method.name={name}".split())
    names = build_method(config, 100).state_dict()
    assert {re.sub(r"\bbackbone\..*", "backbone", each) for each in names} == STATES[name]


def test_checkpoint__of_an_earlier_version_still_resumes_and_gives_its_backbone(
    toy: Toy, pretrained: Path, tmp_path: Path
) -> None:
    """Those do not say where their backbone is, have no `method.options`, and go by the name of the method."""
    shutil.copytree(pretrained, tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.pt"
    content = load(last)
    assert (content.pop("backbone"), content.pop("trains_embedding")) == ("encoders.query.backbone", True)
    del content["config"]["method"]["options"]
    torch.save(content, last)
    succeed(*toy.extract(tmp_path / "run", tmp_path / "f.h5"))
    succeed(*toy.extract(tmp_path / "run", tmp_path / "e.h5", "--layer", "embedding"))
    content["config"]["method"]["name"] = "gone:Mine"
    facts = {"backbone": "encoders.query.backbone", "trains_embedding": True}
    for name, added, code in (("says", facts, 0), ("does_not", {}, 1)):  # where the class is not to be had
        torch.save(content | added, tmp_path / f"{name}.pt")
        line = toy.extract(tmp_path / f"{name}.pt", tmp_path / f"{name}.h5", "--layer", "embedding")
        assert vtdl(*line).exit_code == code
    more = ("pretrain.knn_every=2", "pretrain.keep_every=2", "pretrain.epochs=3")
    succeed(*toy.pretrain(tmp_path / "run", *(word for text in more for word in ("--set", text)), "--resume"))
    assert load(last)["backbone"] == "encoders.query.backbone"
