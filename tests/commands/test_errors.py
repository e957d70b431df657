"""What bad input gets: `error:` lines, exit 1 or 2, no traceback, nothing overwritten, nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toy import NUM_TRAIN, Toy, error_lines, files_in, refuse, rows, small_files, succeed, vtdl

Change = Callable[[Toy, Path, list[str]], list[str]]
"""(toy, empty folder, good command line) -> the bad one."""


def with_list(text: str) -> Change:
    """A training list of this text."""

    def change(_toy: Toy, folder: Path, line: list[str]) -> list[str]:
        (folder / "bad.txt").write_text(text)
        return [*line, "--train-list", str(folder / "bad.txt")]

    return change


def damaged_only(_toy: Toy, folder: Path, line: list[str]) -> list[str]:
    names = [f"{number}.mp4" for number in range(5)]
    for name in names:
        (folder / name).write_bytes(b"this is no video")
    (folder / "bad.txt").write_text("".join(f"{name} 0\n" for name in names))
    return [*line, "--train-list", str(folder / "bad.txt"), "--root", str(folder)]


def add(*more: str) -> Change:
    return lambda _toy, _folder, line: [*line, *more]


TABLE: list[tuple[str, Change, int, str]] = [
    ("no list", add("--train-list", "nowhere.txt"), 1, "list 'nowhere.txt' cannot be read"),
    (
        "folder as list",
        add("--train-list", "/"),
        2,
        "list '/' is a folder, for which --root, --strip-prefix and --list-columns",
    ),
    ("empty list", with_list(""), 1, "bad.txt' is empty. Write one video a line"),
    ("blank list", with_list("\n \n"), 1, "bad.txt' is empty"),
    ("malformed line", with_list("a.mp4 0\nb.mp4 1\nc.mp4 x\n"), 1, "bad.txt:3' reads 'c.mp4 x', which has no class"),
    ("negative class", with_list("a.mp4 0\nb.mp4 -2\n"), 1, "bad.txt:2' has class '-2'"),
    ("ambiguous columns", with_list("a.mp4 3 4\nb.mp4 4 3\n"), 1, "Choose with --list-columns"),
    ("unknown columns", add("--list-columns", "class path"), 2, "--list-columns 'class path' is not a known order"),
    ("prefix of nothing", add("--strip-prefix", "/data/x"), 2, "--strip-prefix '/data/x' starts no line of list"),
    ("wrong root", add("--root", "/nowhere"), 1, "names videos that do not exist"),
    ("damaged videos only", damaged_only, 1, "videos cannot be read, more than data.max_bad_fraction 0.05 allows"),
    ("unknown preset", add("--preset", "dmeo"), 2, "Did you mean 'demo'?"),
    ("unknown key", add("--set", "data.decodr=pyav"), 2, "Did you mean 'data.decoder'?"),
    ("two mistakes", add("--set", "data.decodr=pyav", "--set", "model.width=0"), 2, "model.width '0'"),
    ("unknown option", add("--bach-size", "3"), 2, "No such option: --bach-size"),
    ("output below a file", add("--out", "/dev/null/run"), 2, "'/dev/null' is a file. Choose another --out"),
    ("no such device", add("--device", "tpu"), 2, "--device 'tpu' is not auto, cpu, cuda, cuda:NUMBER or mps"),
    ("list too short", with_list("blue/blue_0.mp4 0\n"), 2, "less than one batch of 4. --set pretrain.batch_size=1"),
]


@pytest.mark.parametrize(("change", "code", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_pretrain__bad_input(toy: Toy, tmp_path: Path, change: Change, code: int, says: str) -> None:
    out = tmp_path / "run"
    line = change(toy, tmp_path, toy.pretrain(out))
    before = files_in(tmp_path)
    refuse(*line, code=code, says=(says,))
    assert files_in(tmp_path) == before
    assert not out.exists()


FINETUNE_TABLE = [row for row in TABLE if row[0] not in ("list too short", "folder as list")]
FINETUNE_TABLE += [("folder as list", add("--train-list", "/"), 1, "list '/' is a folder, whose class is unknown")]


@pytest.mark.parametrize(
    ("change", "code", "says"), [row[1:] for row in FINETUNE_TABLE], ids=[row[0] for row in FINETUNE_TABLE]
)
def test_finetune__bad_input(toy: Toy, tmp_path: Path, change: Change, code: int, says: str) -> None:
    out = tmp_path / "run"
    line = change(toy, tmp_path, toy.finetune(out))
    if change is damaged_only:
        line += ["--val-list", str(tmp_path / "bad.txt")]
    before = files_in(tmp_path)
    refuse(*line, code=code, says=(says,))
    assert files_in(tmp_path) == before
    assert not out.exists()


@pytest.mark.parametrize("command", ["finetune", "evaluate", "extract"])
def test_weights__of_another_backbone(toy: Toy, tmp_path: Path, command: str) -> None:
    succeed(*toy.pretrain(tmp_path / "other", "--set", "model.name=r2p1d", "--set", "pretrain.epochs=1"))
    before = files_in(tmp_path)
    line = {
        "finetune": toy.finetune(tmp_path / "new", "--weights", str(tmp_path / "other")),
        "evaluate": toy.evaluate(tmp_path / "other", tmp_path / "new"),
        "extract": toy.extract(tmp_path / "other", tmp_path / "new", "--set", "model.name=r3d"),
    }[command]
    says = "have no classifier" if command == "evaluate" else "weights of r2p1d (depth 10, width 4, rgb) do not fit"
    refuse(*line, code=1, says=(says,))
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("command", ["evaluate", "extract"])
@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--list", "nowhere.txt"), 1, "list 'nowhere.txt' cannot be read"),
        (("--root", "/nowhere"), 1, "names videos that do not exist"),
        (("--weights", "/nowhere"), 1, "weights '/nowhere' do not exist"),
        (("--weights", "/dev/null"), 1, "weights '/dev/null' do not exist"),
        (("--out", "/dev/null/x"), 2, "'/dev/null' is a file"),
        (("--set", "data.decodr=x"), 2, "Did you mean 'data.decoder'?"),
        (("--clips", "0"), 2, "Invalid value for '--clips'"),
    ],
)
def test_readers__bad_input(
    toy: Toy, finetuned: Path, tmp_path: Path, command: str, more: tuple[str, ...], code: int, says: str
) -> None:
    line = toy.evaluate if command == "evaluate" else toy.extract
    refuse(*line(finetuned, tmp_path / "new"), *more, code=code, says=(says,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["evaluate", "extract"])
def test_readers__only_damaged_videos(finetuned: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "bad.txt").write_text("bad.mp4 0\n")
    before = files_in(tmp_path)
    bad = ("--weights", str(finetuned), "--list", str(tmp_path / "bad.txt"), "--root", str(tmp_path))
    line = (command, *bad, "--out", str(tmp_path / "new"), "--workers", "0")
    refuse(*line, code=1, says=("cannot be read: corrupt, or not a video",))
    assert files_in(tmp_path) == before


def test_debug__shows_the_error_itself(toy: Toy, tmp_path: Path) -> None:
    result = vtdl(*toy.pretrain(tmp_path / "run", "--train-list", "nowhere.txt", "--debug"))
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert "\nvtdl_cli.errors.ListError: list 'nowhere.txt'" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: list 'nowhere.txt'")


# ---- files that go wrong in real life

READABLE_BY_PYAV = {
    "av1_video.mkv",
    "h265_video.mp4",
    "no_duration.webm",
    "unordered.mov",
    "variable_frame_rate.mp4",
    "video_0.mov",
    "video_180.mov",
    "video_90.mov",
}
NEVER_READABLE = {"sine_mono_s16.wav", "zero_bytes.webm"}


def list_with_faults(toy: Toy, data_dir: Path, folder: Path) -> tuple[Path, list[str]]:
    """All faulty files among the toy's own videos."""
    faults = [str(path) for path in sorted((data_dir / "faults").iterdir())]
    good = toy.train_list.read_text().splitlines()
    (folder / "list.txt").write_text("".join(f"{line}\n" for line in [*good, *(f"{path} 1 0" for path in faults)]))
    (folder / "classes.txt").write_text(toy.train_list.with_name("classes.txt").read_text())
    return folder / "list.txt", faults


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav", "torchcodec"])
def test_faults__are_skipped_counted_and_named(toy: Toy, data_dir: Path, tmp_path: Path, decoder: str) -> None:
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError))  # type: ignore[arg-type]
    source, faults = list_with_faults(toy, data_dir, tmp_path)
    settings = ("--set", "data.max_bad_fraction=1", "--set", f"data.decoder={decoder}", "--set", "pretrain.epochs=1")
    more = ("--train-list", str(source), *settings, "--set", "pretrain.batch_size=6")
    result = succeed(*toy.pretrain(tmp_path / "run", *more, "--json", "--quiet"))
    skipped = {Path(video["path"]).name: video["reason"] for video in json.loads(result.stdout)["skipped"]}
    assert set(skipped) >= NEVER_READABLE
    assert set(skipped) <= {Path(path).name for path in faults}  # no good video is lost
    if decoder == "pyav":
        assert not set(skipped) & READABLE_BY_PYAV
    warnings = result.stderr.splitlines()
    assert len(warnings) == len(skipped)
    for video in json.loads(result.stdout)["skipped"]:
        assert f"warning: skipped video '{video['path']}': {video['reason']}" in warnings
    assert rows(tmp_path / "run")[0]["skipped"] == len(skipped)


def test_faults__above_the_fraction_stop_the_run(toy: Toy, data_dir: Path, tmp_path: Path) -> None:
    source, faults = list_with_faults(toy, data_dir, tmp_path)
    (tmp_path / "empty.mp4").touch()  # a third one, beside those that no decoder reads
    faults.append(str(tmp_path / "empty.mp4"))
    source.write_text(f"{source.read_text()}{faults[-1]} 1 0\n")
    before = files_in(tmp_path)
    result = vtdl(*toy.pretrain(tmp_path / "run", "--quiet", "--train-list", str(source)))
    (line,) = error_lines(result)
    assert result.exit_code == 1
    assert line.startswith(
        f"error: 3 of {NUM_TRAIN + len(faults)} videos cannot be read, more than data.max_bad_fraction 0.05 allows; the first "
    )
    assert line.endswith("Remove them from the list, or --set data.max_bad_fraction=1")
    assert files_in(tmp_path) == before


def test_full_disk__of_predictions_names_the_file(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """More rows than the memory that is written at once."""
    out = tmp_path / "rows.csv"
    line = ["predict", "--weights", str(finetuned), str(toy.root), "--out", str(out), "--timeline", "--hop", "1"]
    with small_files(500):
        says = f"file '{out}' could not be written (File too large). Allow larger files (ulimit -f unlimited)"
        refuse(*line, "--device", "cpu", "--workers", "0", "--quiet", code=1, says=(says,))
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("extract-frames {list} --root {root} --out {out}", "blue/blue_0"),
        ("compress {list} --root {root} --out {out}", "blue/blue_0.mp4"),
        ("prepare-lists folder --root {root} --out {out} --quiet", ".survey.jsonl"),
    ],
)
def test_full_disk__names_the_file(toy: Toy, tmp_path: Path, command: str, file: str) -> None:
    """Oracle: the system, which lets files grow to 1000 bytes here, more than a folder's lock and form take."""
    out = tmp_path / "out"
    line = command.format(list=toy.train_list, root=toy.root, out=out).split()
    with small_files(1000):
        says = f"file '{out / file}' could not be written (File too large). Allow larger files (ulimit -f unlimited)"
        refuse(*line, "--workers", "0", code=1, says=(says,))


def test_clips__too_small_for_the_backbone(toy: Toy, tmp_path: Path) -> None:
    """Before anything is opened, in a dry run as well."""
    line = toy.pretrain(tmp_path / "run", "--set", "model.name=c3d", "--set", "model.depth=null", "--dry-run")
    small = ("--set", "pretrain.clip_len_frames=7", "--set", "finetune.clip_len_frames=8")
    says = ("pretrain.clip_len_frames 7 is too small for model.name 'c3d': make it 8 or more",)
    refuse(*line, *small, code=2, says=says)
