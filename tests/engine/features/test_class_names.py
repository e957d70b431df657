"""Names of classes, from folders or from a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.engine.features.class_names import name_classes
from vtdl_cli.errors import UsageError


@pytest.mark.parametrize(
    ("paths", "labels", "names"),
    [
        (["bend/a.avi", "run/b.avi", "run/c.avi"], [0, 1, 1], {0: "bend", 1: "run"}),
        (["videos/bend/a.avi", "videos/run/b.avi"], [0, 1], {0: "bend", 1: "run"}),
        (["bend/a.avi", "run/b.avi", "walk/c.avi"], [0, 1, 1], {0: "0", 1: "1"}),  # a class of two folders
        (["all/a.avi", "all/b.avi"], [0, 1], {0: "0", 1: "1"}),
        (["a.avi", "b.avi"], [0, 1], {0: "0", 1: "1"}),
        (["bend/a.avi", "b.avi"], [4, -1], {4: "bend", -1: "unknown"}),
    ],
)
def test_name_classes__are_folders_where_those_tell_the_classes(
    paths: list[str], labels: list[int], names: dict[int, str]
) -> None:
    features = Features(Path("a.h5"), np.zeros((len(paths), 2)), np.array(labels), paths, {})
    assert name_classes([features], None) == names


def test_name_classes__in_the_file_come_first(tmp_path: Path) -> None:
    plain = Features(Path("a.h5"), np.zeros((2, 2)), np.array([1, 0]), ["bend/a.avi", "run/b.avi"], {})
    named = replace(plain, path=Path("b.h5"), attributes={"classes": '["zero", "one", "two"]'})
    assert name_classes([plain, named], None) == {0: "zero", 1: "one"}
    (tmp_path / "classes.txt").write_text("one\nzero\ntwo\n")
    with pytest.raises(UsageError, match="class 0 is 'zero' here and 'one' there. Leave --classes out"):
        name_classes([named], tmp_path / "classes.txt")


def test_name_classes__of_a_file(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("zero\none\ntwo\n")
    features = Features(Path("a.h5"), np.zeros((2, 2)), np.array([2, 0]), ["bend/a.avi", "run/b.avi"], {})
    assert name_classes([features], tmp_path / "classes.txt") == {0: "zero", 2: "two"}
