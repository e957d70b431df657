import functools
import operator
import os
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from vtdl_cli.config import Config
from vtdl_cli.engine.networks.methods import check_config
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.models.zoo import BACKBONES
from vtdl_cli.setting_keys import all_keys
from vtdl_cli.settings import build_config, find_preset, load_config, preset_dir, preset_names

REPOSITORY = Path(__file__).parent.parent
PRESETS = preset_names()
HEADER = ("Run", "Source", "Expect")


def mistakes(*assignments: str, preset: str = "demo") -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_config(preset, assignments)
    return str(error.value).splitlines()


def write_preset(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


# ---- presets


def test_preset_names__has_the_demo() -> None:
    assert "demo" in PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_preset__loads(name: str) -> None:
    config = load_config(name)
    check_config(config)
    assert (config.model.name in BACKBONES, config.method.name) == (True, "vtdl")


@pytest.mark.parametrize("name", PRESETS)
def test_preset__header_tells_how_to_run_it(name: str) -> None:
    lines = find_preset(name).read_text().splitlines()
    header = [line.lstrip("# ") for line in lines[: lines.index("")]]
    assert all(line.startswith("#") for line in lines[: lines.index("")])
    assert len(header[0].split()) > 3  # the title that `presets list` shows
    for word in HEADER:
        assert any(line.split()[:1] == [word] and len(line.split()) > 1 for line in header), word
    assert any(f"--preset {name} " in line for line in header)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("epochs", [1, 1000])
def test_preset__epochs_alone_are_valid(name: str, epochs: int) -> None:
    config = load_config(name, [f"pretrain.epochs={epochs}", f"finetune.epochs={epochs}"])
    assert (config.pretrain.epochs, config.finetune.epochs) == (epochs, epochs)


@pytest.mark.parametrize("name", PRESETS)
def test_preset__survives_a_round_trip(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert load_config(write_preset(tmp_path, config.to_yaml())) == config
    assert build_config(config.to_dict()) == config


def test_preset__small_r3d_is_weizmann_r3d() -> None:
    assert load_config("small/r3d") == load_config("weizmann/r3d")


def test_preset__unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="preset 'dmeo' is neither a preset nor a file. Did you mean 'demo'?"):
        load_config("dmeo")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no sections"),
        ("- a\n- b\n", "holds no sections"),
        ("a: [\n", "is not YAML"),
        ("a: 2020-13-45\n", "is not YAML"),
        ("a: " + "[" * 1200, "is not YAML"),
        ("a: " + "[" * 1200 + "]" * 1200, "nested deeper than 20 levels"),
        ("a: &a [*a]\n", "nested deeper than 20 levels"),
        (
            "a: &a [1, 1, 1, 1]\n"
            + "".join(f"{n}: &{n} [{', '.join(9 * [f'*{m}'])}]\n" for m, n in pairwise("abcdefgh")),
            "more than 10000 values",
        ),
    ],
)
def test_load_config__file_that_is_no_preset(tmp_path: Path, text: str, says: str) -> None:
    (line,) = mistakes(preset=write_preset(tmp_path, text))
    assert says in line


def test_load_config__file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00\x9d")
    (line,) = mistakes(preset=str(tmp_path / "mine.yaml"))
    assert "is not YAML" in line


def test_load_config__missing_keys_are_named(tmp_path: Path) -> None:
    lines = mistakes(preset=write_preset(tmp_path, "model: {name: c3d}\nmethod: {queue: {}}\n"))
    assert [line.split("'")[1] for line in lines] == ["method.queue.size", "pretrain", "finetune", "extract"]
    assert lines[0].endswith("Add it, or --set method.queue.size=...")
    assert lines[1].endswith("Add it, as in vtdl presets show demo")


def test_load_config__reads_numbers_as_people_mean_them(tmp_path: Path) -> None:
    """To YAML 1.1, 2e-3 is a text and 010 is 8."""
    text = find_preset("demo").read_text().replace("epochs: 12", "epochs: 010").replace("lr: 2.0e-3", "lr: 2e-3")
    config = load_config(write_preset(tmp_path, text))
    assert (config.pretrain.epochs, config.pretrain.optimizer.lr) == (10, 0.002)


# ---- --set


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("pretrain.epochs=7", "pretrain.epochs", 7),
        ("pretrain.optimizer.lr=1e-3", "pretrain.optimizer.lr", 0.001),
        ("pretrain.optimizer.lr=3E-4", "pretrain.optimizer.lr", 0.0003),
        ("pretrain.epochs=010", "pretrain.epochs", 10),
        ("pretrain.epochs=1_000", "pretrain.epochs", 1000),
        ("pretrain.optimizer.lr=.5", "pretrain.optimizer.lr", 0.5),
        ("method.options.at=1:30", "method.options.at", "1:30"),
        ("pretrain.optimizer.lr=1", "pretrain.optimizer.lr", 1.0),
        ("evaluate.starts=[5, 9]", "evaluate.starts", [5, 9]),
        ("method.queue.mask_own_video=false", "method.queue.mask_own_video", False),
        ("method.sampling.gap_frames=9", "method.sampling.gap_frames", 9),
        (" data.decoder = pyav", "data.decoder", "pyav"),
        ("model.depth=50", "model.depth", 50),
        ("data.jitter={hue: 0.1}", "data.jitter.hue", 0.1),
    ],
)
def test_set__changes_one_value(assignment: str, key: str, value: Any) -> None:
    found: Any = load_config("demo", [assignment]).to_dict()
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_set__last_one_wins() -> None:
    assert load_config("demo", ["pretrain.epochs=7", "pretrain.epochs=8"]).pretrain.epochs == 8


def test_set__leaves_the_given_values_alone() -> None:
    values = load_config("demo").to_dict()
    build_config(values, ["model.width=99"])
    assert values["model"]["width"] == load_config("demo").model.width


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("nonsense", "--set 'nonsense' is not of the form section.key=value"),
        ("epochs=3", "is not of the form section.key=value"),
        ("pretrain.epochs", "--set 'pretrain.epochs' has no value. Type --set pretrain.epochs=VALUE"),
        ("method=vtdl", "is not of the form section.key=value. Did you mean 'method.name'?"),
        ("x" * 200, f"--set '{'x' * 40}…{'x' * 39}' is not of the form"),
        ("pretrain.epochs=" + "x" * 200, f"pretrain.epochs '{'x' * 40}…{'x' * 39}' in --set is not valid"),
        ("pretrain.epochs=1:30", "pretrain.epochs '1:30' in --set is not valid: input should be a valid integer"),
        ("method.tca.version=true", "method.tca.version 'True' in --set is not valid: input should be a number"),
        ("pretrain.=3", "is not of the form section.key=value"),
        ("model.name.x=3", "--set 'model.name.x=3' goes into 'name', which is a value"),
        ("pretrain.epochs=[", "has a value that is not YAML"),
        ("pretrain.epochs=2020-13-45", "has a value that is not YAML"),
        ("pretrain.epochs=" + 5000 * "[" + 5000 * "]", "has a value that is not YAML, or nested too deeply"),
        (
            "model.width=100000",
            "model.width '100000' in --set is not valid: input should be less than or equal to 512",
        ),
        (
            "method.queue.size=1000000000000",
            "method.queue.size '1000000000000' in --set is not valid: input should be",
        ),
        ("pretrain.batch_size=100000000000", "pretrain.batch_size '100000000000' in --set is not valid"),
        ("data.short_side=1000000", "data.short_side '1000000' in --set is not valid"),
        ("extract.clip_len_frames=1000000", "extract.clip_len_frames '1000000' in --set is not valid"),
        ("pretrain.epoch=3", "key 'pretrain.epoch' of --set is unknown. Did you mean 'pretrain.epochs'?"),
        ("pretrian.epochs=3", "key 'pretrian' of --set is unknown. Did you mean 'pretrain'?"),
        ("method.tca.alhpa=0.3", "Did you mean 'method.tca.alpha'?"),
        ("pretrain.lr=1", "key 'pretrain.lr' of --set is unknown. Did you mean 'pretrain.optimizer.lr'?"),
        ("finetune.learning_rate=1", "Did you mean 'finetune.optimizer.lr'?"),
        ("finetune.warmup=3", "Did you mean 'finetune.schedule.warmup_epochs'?"),
        ("lr=1", "section.key=value. Did you mean 'pretrain.optimizer.lr' or 'finetune.optimizer.lr'?"),
        ("pretrain.epochs=0", "pretrain.epochs '0' in --set is not valid: input should be greater than or equal to 1"),
        ("pretrain.epochs=1.5", "pretrain.epochs '1.5'"),
        ("pretrain.epochs=many", "pretrain.epochs 'many' in --set is not valid: input should be a valid integer"),
        ("pretrain.epochs=true", "pretrain.epochs 'True'"),
        ("pretrain.augment=1", "pretrain.augment '1' in --set is not valid: input should be a valid boolean"),
        ("pretrain.optimizer.lr=nan", "pretrain.optimizer.lr 'nan'"),
        ("method.temperature=.inf", "method.temperature 'inf' in --set is not valid: input should be a finite number"),
        ("method.tca.alpha=1", "method.tca.alpha '1' in --set is not valid: input should be less than 1"),
        ("data.decoder=ffmpeg", "input should be 'auto', 'decord', 'pyav' or 'torchcodec'"),
        ("data.crop_size=1000", "crop_size 1000 is larger than short_side 27: increase short_side, too"),
        ("pretrain={}", "is not of the form section.key=value"),
        (
            "method.queue=5",
            "key 'method.queue' of --set is a section, and no value. Set what is in it: method.queue.size, ",
        ),
        ("method.momentum=1", "method.momentum '1' in --set is not valid: input should be less than 1"),
    ],
)
def test_set__mistake_is_one_line(assignment: str, says: str) -> None:
    (line,) = mistakes(assignment)
    assert says in line


def test_set__all_mistakes_at_once() -> None:
    lines = mistakes("pretrain.epochs=0", "pretrain.epoch=3", "nonsense", "model.width=0", "finetune.dropout=2")
    for key in ("pretrain.epochs '0'", "key 'pretrain.epoch'", "'nonsense'", "model.width '0'", "finetune.dropout '2'"):
        assert sum(key in line for line in lines) == 1
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (
            ["method.sampling.gap_frames=9", "method.sampling.negative=shift"],
            "gap_frames has no effect where negative is",
        ),
        (["method.sampling.redraws=1"], "redraws has no effect where negative is 'shrink_gap'"),
        (["data.modality=flow", "data.frame_rate=5"], "frame_rate 5 cannot be sampled where modality is 'flow'"),
        (["evaluate.starts=[0, 10]", "evaluate.clips=5"], "clips 5 and 2 starts exclude each other"),
        (
            ["finetune.cuda_graphs=true", "finetune.sync_batch_norm=true"],
            "cuda_graphs cannot record what ranks exchange",
        ),
    ],
)
def test_set__options_that_contradict(assignments: list[str], says: str) -> None:
    (line,) = mistakes(*assignments)
    assert says in line


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ("{}", 2),
        ("{negative: shift}", 2),
        ("{negative: on_the_fly}", 4),
        ("{negative: on_the_fly, threshold_frames: 2}", 2),
    ],
)
def test_sampling__threshold_is_the_rules_own(values: str, threshold: int) -> None:
    """Oracle: method/README: 2 in the authors' frame data set, 4 in their video data set; a given one is kept."""
    config = load_config("demo", [f"method.sampling={values}"])
    assert config.method.sampling.threshold_frames == threshold
    assert build_config(config.to_dict()) == config


NOT_AUGMENTED = ("pretrain.augment=false", "finetune.augment=false")


@pytest.mark.parametrize(
    ("beside", "assignment", "reason"),
    [
        (["method.tca.alpha=0"], "method.tca.version=3", "method.tca.alpha is 0"),
        (["method.tca.alpha=0"], "method.tca.side=both", "method.tca.alpha is 0"),
        (["method.tca.alpha=0"], "method.tca.per=sample", "method.tca.alpha is 0"),
        (NOT_AUGMENTED, "data.jitter.single_operation=true", "neither stage augments"),
        (NOT_AUGMENTED, "data.jitter={hue: 0.1}", "neither stage augments"),
        (NOT_AUGMENTED, "data.rotation_degrees=5", "neither stage augments"),
        (["data.modality=flow"], "data.jitter.hue=0.1", "data.modality is 'flow'"),
        (["data.modality=flow"], "data.decoder=decord", "data.modality is 'flow'"),
        ([], "pretrain.schedule.milestones=[3]", "pretrain.schedule.name is 'cosine'"),
        ([], "pretrain.schedule.factor=0.3", "pretrain.schedule.name is 'cosine'"),
        (["finetune.schedule.name=constant"], "finetune.schedule.factor=0.3", "finetune.schedule.name is 'constant'"),
        ([], "pretrain.optimizer.momentum=0.5", "pretrain.optimizer.name is 'adamw'"),
    ],
)
def test_set__what_has_no_effect_is_refused(beside: list[str], assignment: str, reason: str) -> None:
    """In whatever order it is set; the demo's preset has TCA, cosine schedules and AdamW."""
    for assignments in ([*beside, assignment], [assignment, *beside]):
        (line,) = mistakes(*assignments)
        assert line == f"--set '{assignment}' has no effect where {reason}. Leave it out"


@pytest.mark.parametrize(
    ("preset", "assignments"),
    [
        ("demo", ["method.tca.alpha=0"]),  # its preset sets `per`
        ("hmdb51/i3d-author", ["pretrain.augment=false", "finetune.augment=false"]),  # single_operation
        ("hmdb51/i3d-author", ["finetune.augment=false", "data.jitter.single_operation=false"]),  # one stage augments
        ("hmdb51/i3d", ["pretrain.schedule.name=cosine"]),  # milestones and factor
        ("hmdb51/i3d", ["pretrain.optimizer.name=adamw"]),  # momentum
        ("weizmann/r3d", ["pretrain.epochs=1"]),  # shorter than its warm-up
        ("demo", ["method.tca.version=3", "pretrain.batch_size=2"]),
        ("demo", ["method.tca.alpha=0", "pretrain.batch_size=1"]),
        ("demo", ["method.name=clip_order", "pretrain.batch_size=1"]),
    ],
)
def test_set__over_a_preset_that_holds_what_then_has_no_effect(preset: str, assignments: list[str]) -> None:
    """A preset's own keys may come to nothing: one switches off one thing at a time."""
    check_config(load_config(preset, assignments), assignments)


def test_config__cannot_be_changed() -> None:
    config = load_config("demo")
    with pytest.raises(ValueError, match="frozen"):
        config.pretrain.epochs = 3


def test_all_keys__are_those_of_a_resolved_config() -> None:
    def walk(section: dict[str, Any], prefix: str = "") -> list[str]:
        inner = [walk(value, f"{prefix}{name}.") for name, value in section.items() if isinstance(value, dict)]
        return [prefix + name for name in section] + functools.reduce(operator.iadd, inner, [])

    assert sorted(all_keys()) == sorted(walk(load_config("demo").to_dict()))
    assert all_keys(Config)[0] == "data"


# ---- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build", reason="needs the build package")
    pytest.importorskip("hatchling", reason="needs hatchling: the wheel is built without a network")
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(line, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def test_wheel__holds_presets_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"vtdl_cli/presets/{name}.yaml" for name in PRESETS} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_wheel__finds_its_presets(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from vtdl_cli.settings import preset_dir, preset_names; print(preset_dir(), *preset_names(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert result.stdout.splitlines() == [str(tmp_path / "vtdl_cli" / "presets"), *PRESETS]


def test_preset_dir__in_a_checkout() -> None:
    assert preset_dir() == REPOSITORY / "presets"
    assert yaml.safe_load((preset_dir() / "demo.yaml").read_text())["model"]["name"] == "r3d"
