"""Intervals by recordings, through the real commands."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.engine.features.test_probe import pair
from tests.toy import NUM_VAL, Toy, refuse, succeed
from vtdl_cli.engine.lists.groups import recorded_regex
from vtdl_cli.intervals import class_mean_interval, share_interval

BY_NUMBER = r"_([0-9])\."
"""Of the toy's videos, `blue/blue_4.mp4`: its list has 4 and 5 of each class."""


@pytest.fixture(scope="module")
def lists(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's lists as `prepare-lists --group-by` leaves them."""
    folder = Path(shutil.copytree(toy.val_list.parent, tmp_path_factory.mktemp("grouped") / "lists"))
    (folder / "audit.json").write_text(json.dumps({"options": {"group_by": BY_NUMBER}}))
    return folder


def check(metrics: dict[str, Any], out: Path) -> None:
    """Oracle: the intervals of the scores in the file, of two groups of three videos."""
    with h5py.File(out / "scores.h5") as file:
        right, labels = file["scores"][:].argmax(1) == file["labels"][:], file["labels"][:]
        groups = [path[-5] for path in file["paths"].asstr()[:]]
    assert sorted(set(groups)) == ["4", "5"]
    assert metrics["intervals"]["top1"] == pytest.approx(share_interval(right, groups))
    assert metrics["intervals"]["mean_class"] == pytest.approx(class_mean_interval(right, labels, groups))
    low, high = metrics["intervals"]["top1"]
    alone = share_interval(right)
    assert high - low > alone[1] - alone[0]
    assert [metrics[name] for name in ("intervals_by", "group_by", "num_groups")] == ["group", BY_NUMBER, 2]
    assert json.loads((out / "metrics.json").read_text()) == metrics


def test_group_by__is_taken_from_where_the_list_was_made(
    toy: Toy, finetuned: Path, lists: Path, tmp_path: Path
) -> None:
    """And from there by fusion; '' goes by video again."""
    out = tmp_path / "out"
    line = toy.evaluate(finetuned, out, "--clips", "1", "--json", test_list=lists / "val.txt")
    result = succeed(*line)
    check(json.loads(result.stdout), out)
    assert f"intervals are by 2 groups of --group-by '{BY_NUMBER}', as the list was prepared" in result.stderr
    scores = str(out / "scores.h5")
    fused = succeed("fuse", scores, scores, "--out", str(tmp_path / "fused"), "--json")
    check(json.loads(fused.stdout), tmp_path / "fused")
    by_video = json.loads(succeed("fuse", scores, scores, "--group-by", "", "--json").stdout)
    assert by_video["intervals_by"] == "video"
    assert "num_groups" not in by_video


def test_intervals_of_one_file__are_one_group(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: the interval by files of the scores written.

    Fusion and retrieval count the same files.
    """
    rows = [f"{line.split()[0]},{line.split()[1]}" for line in toy.val_list.read_text().splitlines()]
    table = tmp_path / "cut.csv"
    table.write_text("path,label,start,end\n" + "".join(f"{row},{s},{s + 0.4}\n" for row in rows for s in (0, 0.5)))
    out = tmp_path / "out"
    result = succeed(*toy.evaluate(finetuned, out, "--clips", "1", "--json", test_list=table))
    assert f"confidence intervals are by {NUM_VAL} files, of which the list has {2 * NUM_VAL} rows" in result.stderr
    metrics = json.loads(result.stdout)
    with h5py.File(out / "scores.h5") as file:
        right, files = file["scores"][:].argmax(1) == file["labels"][:], [*file["paths"].asstr()[:]]
    assert metrics["intervals"]["top1"] == pytest.approx(share_interval(right, files))
    assert (metrics["intervals_by"], metrics["num_groups"], metrics["num_videos"]) == ("file", NUM_VAL, 2 * NUM_VAL)
    scores = str(out / "scores.h5")
    assert json.loads(succeed("fuse", scores, scores, "--json").stdout)["intervals"] == metrics["intervals"]
    gallery, query = tmp_path / "gallery.h5", tmp_path / "query.h5"
    for listed, features in ((toy.train_list, gallery), (table, query)):
        line = toy.extract(finetuned, features)
        line[line.index("--list") + 1] = str(listed)
        succeed(*line)
    found = json.loads(succeed("retrieve", "--gallery", str(gallery), "--query", str(query), "--json").stdout)
    assert (found["intervals_by"], found["num_groups"]) == ("file", NUM_VAL)


def test_group_by__option(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = succeed(*toy.evaluate(finetuned, out, "--clips", "1", "--group-by", BY_NUMBER, "--json"))
    check(json.loads(result.stdout), out)
    refused = toy.evaluate(finetuned, tmp_path / "new", "--group-by", "(green)")
    refuse(*refused, code=2, says=("--group-by '(green)' finds no key in 'blue/blue_4.mp4'",))
    assert not (tmp_path / "new").exists()


def test_group_by__of_other_names_warns_and_is_ignored(toy: Toy, finetuned: Path, lists: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lists, tmp_path / "lists"))
    (folder / "audit.json").write_text(json.dumps({"options": {"group_by": "(green)"}}))
    line = toy.evaluate(finetuned, tmp_path / "out", "--clips", "1", "--json", test_list=folder / "val.txt")
    result = succeed(*line)
    assert json.loads(result.stdout)["intervals_by"] == "video"
    says = "warning: intervals are by video: the list was prepared with other names: --group-by '(green)'"
    assert says in result.stderr


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"options": {}}', '{"options": {"group_by": null}}', '"a"'])
def test_recorded_regex__of_other_audits_is_none(tmp_path: Path, content: str) -> None:
    assert recorded_regex(tmp_path / "list.txt") == ""
    (tmp_path / "audit.json").write_text(content)
    assert recorded_regex(tmp_path / "list.txt") == ""


def test_recorded_regex__as_prepare_lists_writes_it(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    succeed("prepare-lists", "folder", "--root", str(toy.root), "--out", str(out), "--group-by", BY_NUMBER)
    assert recorded_regex(out / "val_split_1.txt") == BY_NUMBER


def test_probe_and_retrieve__by_group(tmp_path: Path) -> None:
    """Oracle: the interval of the R@1 and of kNN as printed; the regex comes from the test file."""
    line = pair(tmp_path, group_by="([0-9])\\.mp4")
    train, test = line[2], line[4]
    search = ("retrieve", "--gallery", train, "--query", test)
    for command, metric in ((tuple(line), "knn@1"), (search, "R@1")):
        result = json.loads(succeed(*command, "--json").stdout)
        by_video = json.loads(succeed(*command, "--group-by", "", "--json").stdout)
        assert (result["intervals_by"], result["num_groups"]) == ("group", 10)
        right = np.arange(60) < round(0.6 * result[metric])
        assert by_video["intervals"][metric] == pytest.approx(share_interval(right))
        assert by_video[metric] == result[metric]
        low, high = result["intervals"][metric]
        assert low - 1e-9 <= by_video["intervals"][metric][0] <= result[metric] <= high
        refuse(*command, "--group-by", "x(", code=2, says=("--group-by 'x(' is not a regular expression",))


def test_extract__features_know_their_recordings(toy: Toy, pretrained: Path, lists: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    succeed(*toy.extract(pretrained, out, "--list", str(lists / "val.txt")))
    with h5py.File(out) as file:
        assert file.attrs["group_by"] == BY_NUMBER
        assert len(file["labels"]) == NUM_VAL
