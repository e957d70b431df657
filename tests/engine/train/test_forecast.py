"""What `vtdl pretrain` says of a list before it begins: the toy's videos have 24 frames, of clips with a span of 8."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.toy import NUM_TRAIN, Toy, refuse, succeed

SHIFT = "method.sampling.negative=shift"
GAP = "method.sampling.negative=gap"


def dry_run(toy: Toy, out: Path, *settings: str, more: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    """The plan, and the lines on stderr."""
    options = [word for text in settings for word in ("--set", text)]
    result = succeed(*toy.pretrain(out, "--dry-run", "--json", *options, *more))
    assert not out.exists()
    return json.loads(result.stdout), result.stderr.splitlines()


# ---- videos that are elsewhere


def test_dry_run__of_videos_elsewhere_goes_by_the_lists_counts(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the plan where they are there."""
    plan, lines = dry_run(toy, tmp_path / "run", more=("--root", "/nowhere"))
    assert (plan, []) == dry_run(toy, tmp_path / "run")
    (line,) = lines
    assert line.startswith(
        f"warning: a run would be refused: list '{toy.train_list}' (read as 'path class frames') names videos that do "
    )
    assert line.endswith(
        "Name their folder with --root, and what to drop from the start of the paths with --strip-prefix"
    )
    refuse(*toy.pretrain(tmp_path / "run", "--root", "/nowhere"), code=1, says=("names videos that do not exist",))


def test_dry_run__of_a_published_list(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: what was found when the authors' own sampling was run on it (method/README)."""
    videos = str(data_dir / "lists_published/hmdb51_rgb_train_split_1.txt")
    line = ["--preset", "hmdb51/i3d-author", "--train-list", videos, "--out", str(tmp_path / "run")]
    small = ("--set", "model.width=4", "--device", "cpu", "--workers", "0")
    result = succeed("pretrain", "--dry-run", "--json", *line, *small)
    expected: dict[str, float] = {
        "forced_start": 83,
        "anchor_jumps": 27,
        "moved_negative": 86,
        "negative_jumps": 69,
        "overlap": 97,
    }
    expected |= {"mean_stride": 4, "no_negative": 0, "shared_frames": 63.1}  # the last: as found here
    assert json.loads(result.stdout)["triplets"]["shift"] == pytest.approx(expected, abs=0.6)
    assert result.stderr.count("warning: ") == 1


# ---- the plan


@pytest.mark.parametrize("is_folder", [True, False])
def test_dry_run__without_frame_counts_says_what_counts_them(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    """Oracle: the command itself, with whose list the triplets are known."""
    monkeypatch.chdir(tmp_path)
    names = toy.train_list.read_text().splitlines()
    (tmp_path / "my list.csv").write_text("".join(f"/old/{line.split()[0]}\n" for line in names))
    line = ["pretrain", "--preset", str(toy.preset), "--out", "run", "--dry-run", "--json"]
    given = [str(toy.root)] if is_folder else ["my list.csv", "--root", str(toy.root), "--strip-prefix", "/old"]
    said = json.loads(succeed(*line, "--train-list", *given).stdout)["triplets_unknown"]
    assert said.startswith(f"{'a folder' if is_folder else 'the list'} gives no frame counts. For a list that does: ")
    succeed(*shlex.split(said.split(": vtdl ")[1]), "--workers", "0")
    counted = tmp_path / ("lists/train_split_1.txt" if is_folder else "counted/my list.txt")
    plan = json.loads(succeed(*line, "--train-list", str(counted), "--root", str(toy.root)).stdout)
    assert plan["triplets"]
    assert "triplets_unknown" not in plan


ANCHORS = {"mean_stride", "forced_start", "anchor_jumps"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("method.name=clip_order",), set()),
        ((), ANCHORS | {"moved_negative", "negative_jumps", "no_negative", "overlap", "shared_frames"}),
        (("method.intra_video_negative=false",), ANCHORS),
    ],
)
def test_plan__says_nothing_of_what_is_not_there(
    toy: Toy, tmp_path: Path, settings: tuple[str, ...], expected: set[str]
) -> None:
    plan, _ = dry_run(toy, tmp_path / "run", *settings)
    assert next(iter(plan.get("triplets", {"": {}}).values())).keys() == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("method.queue.size=18",), 1.5),
        (("method.queue.size=4",), 0.33),
        (("method.queue.memory=bank", "method.queue.size=40"), 1),
        (("method.name=instance_discrimination",), 1),
        (("method.name=clip_order",), None),
    ],
)
def test_plan__keys_of_each_video(toy: Toy, tmp_path: Path, settings: tuple[str, ...], expected: float | None) -> None:
    """Oracle: by hand: K over 12 videos; a bank has one of each; clip_order has no keys."""
    plan, lines = dry_run(toy, tmp_path / "run", *settings)
    assert plan.get("keys_per_video") == expected
    assert lines == []


# ---- options that a list cannot meet


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ("method.sampling.gap_frames=21",),
            "method.sampling.gap_frames 21 is more than 100% of the list's videos can give: their negatives are as far "
            "away as fits. Set it lower",
        ),
        (
            ("method.sampling.gap_frames=17", GAP),
            "method.sampling.gap_frames 17 is more than 100% of the list's videos can give: their negatives are as far "
            "away as fits. Set it lower",
        ),
        (
            ("method.sampling.window_frames=25", GAP),
            "method.sampling.window_frames 25 is more than 100% of the list's videos have: their clips start anywhere "
            "and loop. Set it lower",
        ),
        (
            ("method.sampling.window_frames=25", SHIFT, "data.short_videos=restart"),
            "method.sampling.window_frames 25 is more than 100% of the list's videos have: their clips start at the "
            "first frame. Set it lower",
        ),
        (
            ("method.sampling.threshold_frames=17", SHIFT),
            "method.sampling.threshold_frames 17 is more than 100% of the list's videos can give: their negatives are "
            "all moved. Set it lower",
        ),
        (
            ("method.queue.size=12", "method.queue.mask_own_video=false"),
            "method.queue.size 12 holds 1 key of each of the list's 12 videos, and method.queue.mask_own_video is off: "
            "a video's own stale keys are negatives to it. --set method.queue.mask_own_video=true, or a size below 12",
        ),
        (
            ("method.name=speed",),
            "of 12 videos, 12 are too short for a clip at all 8 speeds, and are shown at those that fit. Lower "
            "pretrain.clip_len_frames 4 to use more",
        ),
    ],
)
def test_pretrain__warns_of_options_that_the_list_cannot_meet(
    toy: Toy, tmp_path: Path, settings: tuple[str, ...], says: str
) -> None:
    """Oracle: 24 frames leave 20 beside four; 16 beside a span, and half of them are 12; at stride 8 four frames cover
    25."""
    assert dry_run(toy, tmp_path / "run", *settings)[1] == [f"warning: {says}"]


def test_pretrain__warns_at_the_start_of_a_run_however_quiet(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the dry run's warning."""
    setting = "method.sampling.gap_frames=21"
    _, warning = dry_run(toy, tmp_path / "run", setting)
    line = toy.pretrain(tmp_path / "run", "--quiet", "--json", "--set", setting, "--set", "pretrain.epochs=1")
    assert succeed(*line).stderr.splitlines() == warning != []


@pytest.mark.parametrize(
    "settings",
    [
        ("method.sampling.gap_frames=16",),
        ("method.sampling.window_frames=24", SHIFT, "data.short_videos=restart"),
        ("method.sampling.threshold_frames=16", SHIFT),
        ("method.queue.size=11", "method.queue.mask_own_video=false"),
        ("method.queue.size=100",),
        ("method.queue.size=100", "method.queue.mask_own_video=false", "method.queue.memory=bank"),
    ],
)
def test_pretrain__does_not_warn_of_what_the_list_can_meet(toy: Toy, tmp_path: Path, settings: tuple[str, ...]) -> None:
    """Oracle: one less than above; and own keys that are masked, or one among those of all videos."""
    assert dry_run(toy, tmp_path / "run", *settings)[1] == []


def test_pretrain__warns_where_nearly_all_videos_are_too_short(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: of 20 videos one may be long enough, and two are enough for silence."""
    rows = toy.train_list.read_text().splitlines() * 2
    told = {}
    for long in (1, 2):
        counts = [100] * long + [24] * (20 - long)
        lines = [f"{row.rsplit(' ', 1)[0]} {count}" for row, count in zip(rows, counts, strict=False)]
        (tmp_path / "list.txt").write_text("\n".join(lines))
        listed = ("--train-list", str(tmp_path / "list.txt"), "--list-columns", "path class frames")
        line = toy.pretrain(tmp_path / "run", *listed, "--dry-run", "--set", "method.sampling.gap_frames=50")
        told[long] = succeed(*line).stderr
    assert NUM_TRAIN * 2 >= 20
    assert "is more than 95% of the list's videos can give" in told[1]
    assert told[2] == ""
