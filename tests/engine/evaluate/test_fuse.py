"""Fusion through the real command, held to means by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tests.toy import files_in, refuse, succeed
from vtdl_cli.data.hdf5.scores import Scores, read_scores, write_scores

LABELS = np.repeat(np.arange(4), 10)
PATHS = [f"{label}/{number}.mp4" for number, label in enumerate(LABELS)]
ORIGIN = {"protocol": "video@10", "aggregate": "softmax"}


def made(seed: int, gain: float) -> Scores:
    """Probabilities that are often correct."""
    logits = np.random.default_rng(seed).normal(size=(40, 4))
    logits[np.arange(40), LABELS] += gain
    powers = np.exp(logits)
    return Scores(powers / powers.sum(1, keepdims=True), LABELS, PATHS, list("abcd"), ORIGIN)


RGB, FLOW = made(0, 1.0), made(1, 1.5)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """RGB's scores, and flow's in another order."""
    order = np.random.default_rng(2).permutation(40)
    turned = replace(FLOW, values=FLOW.values[order], labels=LABELS[order], paths=[PATHS[i] for i in order])
    write_scores(tmp_path / "rgb.h5", RGB)
    write_scores(tmp_path / "flow.h5", turned)
    return [str(tmp_path / "rgb.h5"), str(tmp_path / "flow.h5")]


@pytest.mark.parametrize(("options", "share"), [((), 0.5), (("--weights", "1,3"), 0.75), (("--weights", "2,0"), 0)])
def test_fuse__is_the_weighted_mean(files: list[str], tmp_path: Path, options: tuple[str, ...], share: float) -> None:
    """Oracle: numpy and scikit-learn."""
    out = tmp_path / "out"
    metrics = json.loads(succeed("fuse", *files, *options, "--out", str(out), "--json").stdout)
    expected = (1 - share) * RGB.values + share * FLOW.values
    assert metrics["top1"] == pytest.approx(100 * accuracy_score(LABELS, expected.argmax(1)))
    assert [part["weight"] for part in metrics["inputs"].values()] == pytest.approx([1 - share, share])
    assert metrics["inputs"][files[1]]["top1"] == pytest.approx(100 * accuracy_score(LABELS, FLOW.values.argmax(1)))
    assert metrics["protocol"] == "2 networks, video@10"
    assert files_in(out) == {"metrics.json", "scores.h5", "per_class.csv", "confusion.png"}
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert read_scores(out / "scores.h5").values == pytest.approx(expected, abs=1e-6)


def test_fuse__sweep_is_reported_and_not_used(files: list[str]) -> None:
    metrics = json.loads(succeed("fuse", *files, "--sweep", "--json").stdout)
    tops = [
        100 * accuracy_score(LABELS, ((1 - w) * RGB.values + w * FLOW.values).argmax(1)) for w in np.arange(11) / 10
    ]
    assert list(metrics["sweep"].values()) == pytest.approx(tops)
    assert list(metrics["sweep"]) == [f"{w / 10:.1f}" for w in range(11)]
    assert metrics["top1"] == pytest.approx(tops[5])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"paths": ["other.mp4", *PATHS[1:]]},
            "and '{first}' are of different videos: 2 are in only one of them, the first is '0/0.mp4'",
        ),
        ({"labels": 3 - LABELS}, "and '{first}' have different labels for '0/0.mp4'"),
        ({"attributes": {**ORIGIN, "aggregate": "logits"}}, "are means of logits, '{first}' of softmax"),
    ],
)
def test_fuse__other_scores_are_refused(files: list[str], tmp_path: Path, change: dict[str, object], says: str) -> None:
    write_scores(tmp_path / "other.h5", replace(FLOW, **change))  # type: ignore[arg-type]
    line = ("fuse", files[0], str(tmp_path / "other.h5"), "--out", str(tmp_path / "out"))
    refuse(*line, code=2, says=(f"scores '{tmp_path / 'other.h5'}' {says.format(first=files[0])}",))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ("abce", "are not those of scores '{first}': they lack 'd', and they add 'e'"),
        ("abdc", "are those of scores '{first}' in another order: class 2 is 'd' here and 'c' there"),
    ],
)
def test_fuse__other_classes_are_refused(files: list[str], tmp_path: Path, classes: str, says: str) -> None:
    write_scores(tmp_path / "other.h5", replace(FLOW, classes=list(classes)))
    line = ("fuse", files[0], str(tmp_path / "other.h5"))
    refuse(*line, code=2, says=(f"classes of scores '{tmp_path / 'other.h5'}' {says.format(first=files[0])}",))


def test_fuse__numbers_give_way_to_names_with_a_warning(files: list[str], tmp_path: Path) -> None:
    write_scores(tmp_path / "numbers.h5", replace(FLOW, classes=list("0123")))
    line = ("fuse", str(tmp_path / "numbers.h5"), files[0], "--out", str(tmp_path / "out"))
    assert f"warning: classes of scores '{tmp_path / 'numbers.h5'}' have no names" in succeed(*line).stderr
    assert read_scores(tmp_path / "out" / "scores.h5").classes == list("abcd")
    write_scores(tmp_path / "five.h5", replace(FLOW, values=np.ones((40, 5)), classes=list("01234")))
    refuse("fuse", files[0], str(tmp_path / "five.h5"), code=2, says=("have 5 classes, scores",))


@pytest.mark.parametrize(
    ("told", "expected"),
    [(("true", "false"), True), (("false", "false"), False), (("false", None), None), ((None, "true"), True)],
)
def test_fuse__says_whether_an_input_was_chosen_on_these_videos(
    tmp_path: Path, told: tuple[str | None, ...], expected: bool | None
) -> None:
    for name, scores, text in zip("ab", (RGB, FLOW), told, strict=True):
        more = {} if text is None else {"selected_on_this_list": text}
        write_scores(tmp_path / f"{name}.h5", replace(scores, attributes={**ORIGIN, **more}))
    result = succeed("fuse", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), "--out", str(tmp_path / "out"), "--json")
    assert json.loads(result.stdout)["selected_on_this_list"] is expected
    assert ("were chosen on these videos" in result.stderr) == (expected is True)
    attributes = read_scores(tmp_path / "out" / "scores.h5").attributes
    assert json.loads(attributes["selected_on_this_list"]) is expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--weights", "1"), "--weights has 1 number for 2 files"),
        (("--weights", "1,-1"), "must be finite, not negative"),
        (("--weights", "0,0"), "not all 0"),
        (("--weights", "a,b"), "--weights 'a,b' is not a list of numbers"),
        (("{first}", "--sweep"), "--sweep takes two files, not 3"),
    ],
)
def test_fuse__options_that_do_not_fit(files: list[str], options: tuple[str, ...], says: str) -> None:
    refuse("fuse", *files, *(word.format(first=files[0]) for word in options), code=2, says=(says,))


def test_fuse__one_file_is_no_mean(files: list[str]) -> None:
    refuse("fuse", files[0], code=2, says=("takes two or more files of scores, not 1",))


def test_fuse__scores_that_are_not_finite(tmp_path: Path) -> None:
    """Refused by whoever reads scores: a class would count as right, or none."""
    values = np.full((4, 3), 0.25)
    files = []
    for name, wrong in (("good", 0.5), ("nan", np.nan), ("infinite", np.inf)):
        values[2, 1] = wrong
        attributes = {"protocol": "video@10", "aggregate": "logits"}
        files.append(tmp_path / f"{name}.h5")
        write_scores(files[-1], Scores(values, np.arange(4) % 3, list("abcd"), list("xyz"), attributes))
    for bad in files[1:]:
        says = f"scores '{bad}' have values that are not finite, the first for 'c'"
        refuse("fuse", str(files[0]), str(bad), "--out", str(tmp_path / "out"), code=2, says=(says,))
    assert not (tmp_path / "out").exists()


def test_fuse__a_video_twice_is_refused(tmp_path: Path) -> None:
    twice = [PATHS[0], *PATHS[:-1]]
    for name, scores in (("a.h5", RGB), ("b.h5", FLOW)):
        write_scores(tmp_path / name, replace(scores, paths=twice))
    refuse("fuse", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), code=2, says=("have a video twice",))


def test_fuse__existing_output_is_refused(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("mine")
    refuse("fuse", *files, "--out", str(tmp_path), code=2, says=("metrics.json' exists. Use --overwrite",))
    assert (tmp_path / "metrics.json").read_text() == "mine"


def test_fuse__files_of_one_stream_and_folders_of_the_other(tmp_path: Path) -> None:
    """Oracle: the same two streams where both are files. Flow lies in folders, of one tree for each direction."""
    write_scores(tmp_path / "rgb.h5", RGB)
    write_scores(tmp_path / "flow.h5", FLOW)
    write_scores(tmp_path / "folders.h5", replace(FLOW, paths=[f"u/{Path(path).stem}" for path in PATHS]))
    both, mixed = (
        json.loads(succeed("fuse", str(tmp_path / "rgb.h5"), str(tmp_path / name), "--json").stdout)
        for name in ("flow.h5", "folders.h5")
    )
    assert [both[name] for name in ("top1", "mean_class")] == [mixed[name] for name in ("top1", "mean_class")]


def test_fuse__skipped_videos_are_reported(tmp_path: Path) -> None:
    bad = {"path": "bad.mp4", "reason": "it is empty"}
    for name, scores in (("a", RGB), ("b", FLOW)):
        attributes = {**ORIGIN, "skipped": json.dumps([bad]), "weights_sha256": name}
        write_scores(tmp_path / f"{name}.h5", replace(scores, attributes=attributes))
    out = tmp_path / "out"
    line = ("fuse", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), "--out", str(out), "--json")
    metrics = json.loads(succeed(*line).stdout)
    assert metrics["skipped"] == json.loads(str(read_scores(out / "scores.h5").attributes["skipped"])) == [bad]
    assert [part["weights_sha256"] for part in metrics["inputs"].values()] == ["a", "b"]


def test_fuse__never_replaces_what_it_reads(tmp_path: Path) -> None:
    for name, scores in (("rgb", RGB), ("flow", FLOW)):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name / "scores.h5", scores)
    files = [str(tmp_path / name / "scores.h5") for name in ("rgb", "flow")]
    before = Path(files[0]).read_bytes()
    line = ("fuse", *files, "--out", str(tmp_path / "rgb"), "--overwrite")
    refuse(*line, code=2, says=("holds one of the files to fuse. Choose another --out",))
    assert Path(files[0]).read_bytes() == before
