"""Rows by name and from YAML, their settings and their budgets."""

from pathlib import Path

import pytest

from vtdl_cli.engine.ablation.equal_time import count_epochs
from vtdl_cli.engine.ablation.rows import GROUPS, PUBLISHED, ROWS, Row, apply_budget, read_rows
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.settings import load_config


def test_read_rows__by_name_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("untrained: scratch\nweak: [method.tca.alpha=0.3, equal time as tca]\nas-is:\n")
    assert read_rows(f"own-negative, {file}") == [
        Row("intra-video-negative", ("method.tca.alpha=0",)),
        Row("untrained", pretrains=False),
        Row("weak", ("method.tca.alpha=0.3",), as_long_as="tca"),
        Row("as-is"),
    ]


@pytest.mark.parametrize("preset", ["hmdb51/i3d", "ucf101/i3d", "weizmann/r3d", "small/r3d", "demo"])
def test_rows__each_is_valid_for_presets(preset: str) -> None:
    for row in read_rows(",".join(ROWS)):
        row.build_config(load_config(preset))


def test_rows__published_are_those_of_the_paper() -> None:
    assert all(list(numbers) == GROUPS["published"] for numbers in PUBLISHED.values())
    published = {row.name: row for row in read_rows("published")}
    config = load_config("hmdb51/i3d")
    assert not published["baseline"].build_config(config).finetune.augment
    assert published["basic-augmentation"].build_config(config) == config == published["tca"].build_config(config)
    assert published["temporal-discriminative"].build_config(config).method.tca.alpha == 0
    assert [row.pretrains for row in published.values()] == [False, False, True, True]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("../up: [method.tca.alpha=0]", "row '../up' cannot be the name of a folder"),
        ("a: {b: 1}", "row 'a' is not a list of settings"),
        ("a: [1]", "row 'a' is not a list of settings"),
        ("- a", "does not map names to settings"),
        ("a: [", "is not YAML"),
    ],
)
def test_read_rows__refuses_files(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(content)
    with pytest.raises(UsageError, match=says.replace("[", r"\[")):
        read_rows(str(tmp_path / "rows.yaml"))


@pytest.mark.parametrize(
    ("words", "says"), [("moco,moco", "twice"), ("mcoo", "is neither a row nor a YAML file"), (",", "names no row")]
)
def test_read_rows__refuses_words(words: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_rows(words)


def test_build_config__mistake_names_the_row() -> None:
    with pytest.raises(ConfigError) as refused:
        Row("bad", ("method.tca.alpah=0",)).build_config(load_config("demo"))
    assert refused.value.lines[0].startswith("row 'bad': key 'method.tca.alpah'")


def test_apply_budget__seconds_are_those_of_one_row() -> None:
    rows = read_rows("scratch,scratch-equal-time,moco,moco-equal-time,intra-video-negative,tca")
    assert apply_budget(rows, "steps") == rows
    assert [row.as_long_as for row in apply_budget(rows, "seconds")] == [None, "tca", "tca", "tca", "tca", None]
    rows.remove(rows[1])
    with pytest.raises(UsageError, match="moco-equal-time' trains as long as 'tca', which is not"):
        apply_budget(rows, "seconds:moco")
    with pytest.raises(UsageError, match="neither steps, seconds nor"):
        apply_budget(rows, "hours")


def test_apply_budget__refuses_times_that_no_row_takes() -> None:
    with pytest.raises(UsageError, match="is not a row"):
        apply_budget([Row("a", pretrains=False, as_long_as="tca"), Row("tca", pretrains=False)], "steps")
    with pytest.raises(UsageError, match="is not a row"):
        apply_budget([Row("a", as_long_as="b"), Row("b", as_long_as="a")], "steps")


def test_count_epochs__by_hand() -> None:
    """Oracle: 4 epochs of 3 s at the median are 12 s, in which 8 of 1.5 s fit; the pause of 60 s counts little.

    With 2 epochs of 6 s they are 24 s; and how many epochs the medians are over does not count.
    """
    pace = [1.5, 1.5, 1.4]
    assert count_epochs([(4, [3.0, 3.0, 60.0, 3.0])], pace) == 8
    assert count_epochs([(4, [3.0, 3.0, 60.0, 3.0]), (2, [6.0] * 5)], pace) == 16
    assert count_epochs([(1, [0.1])], [1.0]) == 1
