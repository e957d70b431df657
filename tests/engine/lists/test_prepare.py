import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.toy import read_list
from vtdl_cli.data.video.probe import VideoFacts
from vtdl_cli.engine.lists import outputs
from vtdl_cli.engine.lists.build_lists import PrepareOptions
from vtdl_cli.engine.lists.prepare import prepare_folder, prepare_official
from vtdl_cli.engine.lists.survey import Survey, SurveyCache, survey
from vtdl_cli.errors import ListError, UnreadableVideo, UsageError, VtdlError
from vtdl_cli.runtime import Progress, SilentReporter

ALL_FILES = ["audit.json", "classes.txt", "train_split_1.txt", "val_split_1.txt"]


class Recorder(SilentReporter):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.steps = 0
        self.total = 0

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def progress(self, total: int, description: str, start: int = 0) -> Iterator[Progress]:  # noqa: ARG002
        self.total = total
        yield self

    def advance(self, n: int = 1, **fields: str) -> None:  # noqa: ARG002
        self.steps += n


def facts(num_frames: int, num_bytes: int = 0) -> VideoFacts:
    """Of a video at 25 frames a second."""
    return VideoFacts(num_frames, num_frames, "mpeg4", 320, 240, 25.0, num_bytes)


def probe_by_content(path: str, decoder: str, verify: bool) -> VideoFacts:  # noqa: ARG001
    """Stands in for a decoder: the file says how many frames it has, or what goes wrong."""
    text = Path(path).read_text()
    if text == "crash":
        os._exit(11)
    if text == "slow":
        time.sleep(0.2)
        return facts(9)
    if not text:
        raise UnreadableVideo(str(path), "it is empty")
    return facts(int(text), len(text))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of eight videos by four people; frame counts 10 to 25."""
    monkeypatch.setattr("vtdl_cli.engine.lists.survey.probe_video", probe_by_content)
    folder = tmp_path / "videos"
    for number, name in enumerate(
        f"{kind}/{who}_{n}.avi" for kind in ("run", "walk") for who in "abcd" for n in (1, 2)
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(10 + number))
    return folder


def prepare(root: Path, **options: Any) -> dict[str, Any]:
    how = {"out": root.parent / "lists", "workers": 0, "reporter": SilentReporter(), **options}
    sides = (
        "labels",
        "split_from",
        "group_from",
        "val_fraction",
        "test_fraction",
        "group_by",
        "val_groups",
        "test_groups",
    )
    which = {name: how.pop(name) for name in sides if name in how}
    return prepare_folder(root, PrepareOptions(**how), **which)


def written(root: Path) -> list[str]:
    folder = root.parent / "lists"
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def names_in(root: Path, file: str) -> set[str]:
    videos = read_list(root.parent / "lists" / file, root=root)
    assert videos.columns == "path class frames"
    assert all(videos.path(index).exists() for index in range(len(videos)))
    return {videos.name(index) for index in range(len(videos))}


def test_prepare_folder__writes_lists_that_read_back(root: Path) -> None:
    audit = prepare(root)
    assert written(root) == ALL_FILES
    assert json.loads((root.parent / "lists" / "audit.json").read_text()) == audit
    train, val = names_in(root, "train_split_1.txt"), names_in(root, "val_split_1.txt")
    assert train | val == {path.relative_to(root).as_posix() for path in root.glob("*/*")}
    assert train & val == set()
    videos = read_list(root.parent / "lists" / "train_split_1.txt", root=root)
    assert videos.classes == ["run", "walk"]
    assert [str(frames) for frames in videos.frames] == [videos.path(i).read_text() for i in range(12)]
    assert [videos.classes[label] for label in videos.labels] == [videos.path(i).parent.name for i in range(12)]


def test_prepare_folder__audits_what_it_did(root: Path) -> None:
    (root / "run" / "notes.md").touch()
    (root / "walk" / "d_3.avi").touch()
    recorder = Recorder()
    audit = prepare(root, reporter=recorder, seed=5)
    assert audit.pop("warnings") == recorder.warnings
    assert audit == {
        "dataset": "folder",
        "root": str(root),
        "options": {
            "val_fraction": 0.25,
            "seed": 5,
            "labels": "folder",
            "split_from": "draw",
            "group_by": None,
            "val_groups": [],
            "test_fraction": 0.0,
            "test_groups": [],
            "per_class": None,
            "fraction": None,
            "decoder": "auto",
            "verify": False,
            "min_frames": 1,
        },
        "total": 16,
        "splits": {"train": 12, "val": 4},
        "classes": {"run": {"train": 6, "val": 2}, "walk": {"train": 6, "val": 2}},
        "frames": {"min": 10, "median": 17.5, "max": 25},
        "frame_rates": {"min": 25.0, "median": 25.0, "max": 25.0},
        "resolutions": {"320x240": 16},
        "codecs": {"mpeg4": 16},
        "declared_otherwise": [],
        "duplicates": [],
        "on_both_sides": [],
        "left_out": 0,
        "groups": None,
        "groups_on_both_sides": [],
        "recordings_on_both_sides": [],
        "rejected": [{"path": "walk/d_3.avi", "reason": "it is empty"}],
        "ignored": ["run/notes.md"],
    }
    assert recorder.warnings == [
        "1 video is left out, see rejected.txt; the first is 'walk/d_3.avi': it is empty",
        "1 file or folder holds no video and is ignored; the first is 'run/notes.md'",
    ]
    assert recorder.steps == recorder.total == 17


def test_prepare_folder__splits_by_named_groups(root: Path) -> None:
    audit = prepare(root, group_by="^([a-z])_", val_groups=["b", "d"])
    assert {name.split("/")[1][0] for name in names_in(root, "val_split_1.txt")} == {"b", "d"}
    assert audit["groups"] == {"a": "train", "b": "val", "c": "train", "d": "val"}
    assert audit["options"]["val_fraction"] is None
    assert audit["warnings"] == []


def test_prepare_folder__draws_whole_groups(root: Path) -> None:
    audit = prepare(root, group_by="^([a-z])_", val_fraction=0.5)
    assert sorted(audit["groups"].values()) == ["train", "train", "val", "val"]
    assert audit["splits"] == {"train": 8, "val": 8}


def test_prepare_folder__without_validation_writes_one_list(root: Path) -> None:
    prepare(root)
    audit = prepare(root, val_fraction=0, overwrite=True)
    assert written(root) == ["audit.json", "classes.txt", "train_split_1.txt"]  # nor does the old one stay
    assert len(names_in(root, "train_split_1.txt")) == 16
    assert audit["warnings"] == []


def test_prepare_folder__a_third_list_is_disjoint_by_groups(root: Path) -> None:
    """Oracle: by hand: of four people one validates and one is for the test; the validation list is as without it."""
    prepare(root, group_by="^([a-z])_")
    before = names_in(root, "val_split_1.txt")
    audit = prepare(root, group_by="^([a-z])_", test_fraction=0.25, overwrite=True)
    assert written(root) == [*ALL_FILES[:2], "test_split_1.txt", *ALL_FILES[2:]]
    lists = [names_in(root, f"{side}_split_1.txt") for side in ("train", "val", "test")]
    people = [{name.split("/")[1][0] for name in names} for names in lists]
    assert [len(each) for each in people] == [2, 1, 1]
    assert set.union(*people) == set("abcd")
    assert lists[1] == before
    assert audit["splits"] == {"train": 8, "val": 4, "test": 4}
    assert audit["classes"]["run"] == {"train": 4, "val": 2, "test": 2}
    assert sorted(audit["groups"].values()) == ["test", "train", "train", "val"]
    assert audit["warnings"] == []
    prepare(root, overwrite=True)
    assert written(root) == ALL_FILES  # nor does the old one stay


def test_prepare_folder__named_test_groups_and_a_draw(root: Path) -> None:
    audit = prepare(root, group_by="^([a-z])_", test_groups=["c"], val_fraction=0.34)
    assert {name.split("/")[1][0] for name in names_in(root, "test_split_1.txt")} == {"c"}
    assert (audit["groups"]["c"], audit["splits"]) == ("test", {"train": 8, "val": 4, "test": 4})
    assert (audit["options"]["test_groups"], audit["options"]["test_fraction"]) == (["c"], None)


def test_prepare_folder__low_shot_draws_from_training_alone(root: Path) -> None:
    everything = prepare(root, test_fraction=0.25)
    held_out = [names_in(root, f"{side}_split_1.txt") for side in ("val", "test")]
    few = prepare(root, test_fraction=0.25, per_class=1, overwrite=True)
    assert (everything["splits"], few["splits"]) == (
        {"train": 8, "val": 4, "test": 4},
        {"train": 2, "val": 4, "test": 4},
    )
    assert held_out == [names_in(root, f"{side}_split_1.txt") for side in ("val", "test")]


def test_prepare_folder__warns_of_a_class_without_a_test_video(root: Path) -> None:
    for number in (1, 2):
        (root / "jump").mkdir(exist_ok=True)
        (root / "jump" / f"e_{number}.avi").write_text(str(30 + number))
    audit = prepare(root, test_fraction=0.25)
    assert audit["classes"]["jump"] == {"train": 1, "val": 1, "test": 0}
    assert audit["warnings"] == ["1 of 3 classes have no video in test: jump"]


def test_audit__same_content_in_two_of_three_lists(root: Path) -> None:
    (root / "run" / "c_1.avi").write_text("77")
    (root / "walk" / "d_1.avi").write_text("77")
    audit = prepare(root, group_by="^([a-z])_", val_groups=["d"], test_groups=["c"])
    assert audit["on_both_sides"] == [["walk/d_1.avi", "run/c_1.avi"]]
    assert audit["warnings"] == [
        "1 video is in more than one of train, val, test under two names; the first is 'walk/d_1.avi', also "
        "'run/c_1.avi'. Delete all but one of each"
    ]


def test_prepare_folder__warns_of_classes_on_one_side_only(root: Path) -> None:
    (root / "jump").mkdir()
    (root / "jump" / "e_1.avi").write_text("30")
    audit = prepare(root, group_by="^([a-z])_", val_groups=["e"])
    assert audit["warnings"] == [
        "1 of 3 classes have no video in train: jump",
        "2 of 3 classes have no video in val: run, walk",
    ]


def test_prepare_folder__warns_of_an_empty_side(root: Path) -> None:
    audit = prepare(root, group_by="^([a-z])_", val_groups=list("abcd"))
    assert audit["warnings"] == ["no video is left for train: train_split_1.txt is not written"]
    assert written(root) == ["audit.json", "classes.txt", "val_split_1.txt"]


def test_prepare_folder__an_unreadable_val_group_is_not_replaced_by_a_draw(root: Path) -> None:
    (root / "run" / "e_1.avi").touch()
    audit = prepare(root, group_by="^([a-z])_", val_groups=["e"])
    assert audit["splits"] == {"train": 16, "val": 0}
    assert audit["warnings"][-1] == "no video is left for val: val_split_1.txt is not written"


def test_prepare_folder__leaves_out_names_that_no_list_can_hold(root: Path) -> None:
    (root / "run" / "line\nbreak.avi").write_text("12")
    (root / "run" / os.fsdecode(b"latin\xe9.avi")).write_text("12")
    audit = prepare(root)
    assert audit["total"] == 16
    assert audit["rejected"] == [
        {"path": "run/latin\\udce9.avi", "reason": "its name is not UTF-8"},
        {"path": "run/line\nbreak.avi", "reason": "its name contains a line break"},
    ]
    assert json.loads((root.parent / "lists" / "audit.json").read_text()) == audit


@pytest.mark.parametrize("existing", ALL_FILES)
def test_prepare_folder__refuses_to_overwrite(root: Path, existing: str) -> None:
    (root.parent / "lists").mkdir()
    (root.parent / "lists" / existing).write_text("mine")
    with pytest.raises(UsageError, match=f"{existing}' exists already.*--overwrite"):
        prepare(root)
    assert written(root) == [existing]
    prepare(root, overwrite=True)
    assert written(root) == ALL_FILES


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"val_fraction": 1.5}, "--val-fraction '1.5'"),
        ({"val_groups": ["a"]}, "Add --group-by '^([^_]+)_'"),
        ({"fraction": 0.0}, "--fraction '0.0' is not a share"),
        ({"fraction": 0.5, "per_class": 1}, "--per-class and --fraction exclude each other"),
        ({"group_by": "^(x)"}, "--group-by '^(x)' finds no key in 'run/a_1.avi'"),
        ({"group_by": "^([a-z])_", "val_groups": ["z"]}, "The groups are a, b, c, d"),
        ({"decoder": "vlc"}, "decoder 'vlc' is unknown. Choose from auto, decord, pyav, torchcodec, flow"),
        ({"test_fraction": -0.5}, "--test-fraction '-0.5' is not a share"),
        ({"test_fraction": 0.5, "val_fraction": 0.5}, "leave nothing to train on"),
        ({"test_groups": ["a"]}, "--test-groups 'a' is given without a way to find groups. Add --group-by '^([^_]+)_'"),
        ({"group_by": "^([a-z])_", "val_groups": ["a"], "test_groups": ["a"]}, "is also one of --val-groups"),
    ],
)
def test_prepare_folder__refuses_before_opening_any_video(
    root: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], rule: str
) -> None:
    monkeypatch.setattr("vtdl_cli.engine.lists.survey.probe_video", None)
    with pytest.raises(UsageError) as caught:
        prepare(root, **options)
    assert rule in str(caught.value)
    assert written(root) == []


def test_prepare_folder__fails_when_nothing_can_be_read(root: Path) -> None:
    for path in root.glob("*/*"):
        path.write_text("")
    with pytest.raises(ListError, match=r"no readable video: 'run/a_1\.avi': it is empty"):
        prepare(root)
    assert written(root) == []


def test_prepare_folder__refuses_a_root_without_classes(root: Path) -> None:
    with pytest.raises(UsageError, match="no class folder with a video"):
        prepare(root / "run", labels="folder")


def test_prepare_folder__refuses_a_file_as_out(root: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        prepare(root, out=root / "run" / "a_1.avi")


def test_prepare_folder__writes_all_or_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(root)
    before = {name: (root.parent / "lists" / name).read_bytes() for name in ALL_FILES}

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_classes", full_disk)
    with pytest.raises(VtdlError, match="No space left on device"):
        prepare(root, seed=9, overwrite=True)
    after = {path.name: path.read_bytes() for path in (root.parent / "lists").iterdir()}
    assert after.pop(".survey.jsonl")  # hours of work, for the next try
    assert after == before


def test_prepare_folder__fraction_of_each_class(root: Path) -> None:
    """Oracle: by hand: of six training videos of each class a third is two; a tenth is one, and among the two."""
    drawn = {}
    for fraction in (1 / 3, 0.1):
        audit = prepare(root, fraction=fraction, overwrite=True)
        drawn[fraction] = names_in(root, "train_split_1.txt")
        assert (audit["splits"]["val"], audit["left_out"]) == (4, 12 - len(drawn[fraction]))
    assert [len(names) for names in drawn.values()] == [4, 2]
    assert drawn[0.1] < drawn[1 / 3]


def survey_all(
    root: Path, names: list[str], workers: int, reporter: Recorder | None = None, min_frames: int = 1
) -> Survey:
    """Survey with the decoder that the fixture put in place."""
    return survey(
        root,
        names,
        decoder="",
        verify=False,
        min_frames=min_frames,
        workers=workers,
        reporter=reporter or Recorder(),
    )


def test_survey__agrees_in_one_process_and_in_two(root: Path) -> None:
    (root / "run" / "a_0.avi").touch()
    (root / "run" / "a_9.avi").write_text("3")
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*"))
    results = []
    for workers in (0, 2):
        recorder = Recorder()
        results.append(survey_all(root, names, workers, recorder, min_frames=4))
        assert recorder.steps == recorder.total == 18
    assert results[0] == results[1]
    assert results[0].reasons == {0: "it is empty", 3: "it has 3 frames, fewer than --min-frames 4"}
    assert [video.num_frames for video in results[0].facts.values()] == [10, 11, *range(12, 26)]
    assert results[0].readable.tolist() == [1, 2, *range(4, 18)]


def test_survey__a_decoder_crash_costs_one_video(root: Path) -> None:
    (root / "run" / "a_2.avi").write_text("crash")
    (root / "run" / "b_1.avi").write_text("slow")
    names = [f"run/{who}_{n}.avi" for who in "abcd" for n in (1, 2)]
    result = survey_all(root, names, 2)
    assert result.reasons == {1: "the decoder crashed on it"}
    assert [video.num_frames for video in result.facts.values()] == [10, 9, 13, 14, 15, 16, 17]


def test_audit__same_content_under_two_names(root: Path) -> None:
    """Oracle: by hand: a's two runs are one file, and d's in validation are it too; all 16 files have one size."""
    for name in ("run/a_1.avi", "run/a_2.avi", "run/d_1.avi", "walk/d_1.avi"):
        (root / name).write_text("77")
    audit = prepare(root, group_by="^([a-z])_", val_groups=["d"])
    assert audit["duplicates"] == [["run/a_1.avi", "run/a_2.avi", "run/d_1.avi", "walk/d_1.avi"]]
    assert audit["on_both_sides"] == audit["duplicates"]
    says = "1 video is in both train and val under two names; the first is 'run/a_1.avi', also 'run/a_2.avi'. Delete"
    assert any(warning.startswith(says) for warning in audit["warnings"])


def test_audit__what_the_videos_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand, from 16 videos of which one is declared a frame longer, wider, slower and of another codec."""

    def probe(path: str, **_: object) -> VideoFacts:
        odd = path.endswith("run/a_1.avi")
        return VideoFacts(20, 21, "h264", 640, 360, 15.0, 0) if odd else facts(30)

    monkeypatch.setattr("vtdl_cli.engine.lists.survey.probe_video", probe)
    audit = prepare(root)
    assert audit["frames"] == {"min": 20, "median": 30.0, "max": 30}
    assert audit["frame_rates"] == {"min": 15.0, "median": 25.0, "max": 25.0}
    assert audit["resolutions"] == {"320x240": 15, "640x360": 1}
    assert audit["codecs"] == {"mpeg4": 15, "h264": 1}
    assert audit["declared_otherwise"] == ["run/a_1.avi"]
    assert audit["duplicates"] == []  # folders of pictures have no size, and are not one another's copies


def test_rejected__names_all_videos_left_out(root: Path) -> None:
    (root / "run" / "e_1.avi").touch()
    (root / "run" / "line\nbreak.avi").write_text("12")
    prepare(root, min_frames=11)
    lines = (root.parent / "lists" / "rejected.txt").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [
        ["run/a_1.avi", "it has 10 frames, fewer than --min-frames 11"],
        ["run/e_1.avi", "it is empty"],
        ["run/line\\nbreak.avi", "its name contains a line break"],
    ]
    (root / "run" / "e_1.avi").write_text("11")
    (root / "run" / "line\nbreak.avi").unlink()
    prepare(root, overwrite=True)
    assert not (root.parent / "lists" / "rejected.txt").exists()


def test_prepare_folder__weizmann_by_actor(data_dir: Path, tmp_path: Path) -> None:
    options = PrepareOptions(tmp_path / "lists", SilentReporter(), workers=2)
    audit = prepare_folder(data_dir / "weizmann", options, group_by="^([a-z0-9]+)_", val_groups=["ido", "ira"])
    # Oracle: the data's README: 10 classes x 9 actors, 36 to 146 frames.
    assert audit["splits"] == {"train": 70, "val": 20}
    assert set(map(str, audit["classes"].values())) == {"{'train': 7, 'val': 2}"}
    assert (audit["frames"]["min"], audit["frames"]["max"]) == (36, 146)
    assert (len(audit["groups"]), audit["warnings"]) == (9, [])


def test_prepare_folder__tennis_by_fraction(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "vtdl_cli.engine.lists.survey.probe_video", lambda _path, **_: facts(60)
    )  # 371 take a while to open
    audit = prepare_folder(data_dir / "tennis7", PrepareOptions(tmp_path / "lists", SilentReporter(), workers=0))
    assert audit["total"] == 371
    assert set(map(str, audit["classes"].values())) == {"{'train': 40, 'val': 13}"}  # 53 a class; 13.25 wanted


def test_prepare_folder__leaves_out_faulty_files(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "faults").symlink_to(data_dir / "faults")
    audit = prepare(tmp_path / "videos", val_fraction=0)
    assert "faults/zero_bytes.webm" in {bad["path"] for bad in audit["rejected"]}
    assert audit["ignored"] == ["faults/sine_mono_s16.wav"]


def test_prepare_folder__interrupted_resumes_where_it_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: which videos are opened: the first five, then the other eleven and the one that has changed since."""
    opened: list[str] = []

    def probe(path: str, **options: Any) -> VideoFacts:
        if len(opened) == 5:
            raise KeyboardInterrupt
        opened.append(path)
        return probe_by_content(path, **options)

    monkeypatch.setattr("vtdl_cli.engine.lists.survey.probe_video", probe)
    with pytest.raises(KeyboardInterrupt):
        prepare(root)
    assert written(root) == [".survey.jsonl"]
    before = list(opened)
    (root / "run" / "a_2.avi").write_text("100")
    with (root.parent / "lists" / ".survey.jsonl").open("a") as file:
        file.write('["cut short')
    opened[:] = []

    def probe_again(path: str, **options: Any) -> VideoFacts:
        opened.append(path)
        return probe_by_content(path, **options)

    monkeypatch.setattr("vtdl_cli.engine.lists.survey.probe_video", probe_again)
    audit = prepare(root)
    assert {path for path in opened if path in before} == {str(root / "run" / "a_2.avi")}
    assert len(opened) == 12
    assert (audit["total"], audit["frames"]["max"]) == (16, 100)
    assert written(root) == ALL_FILES


def test_prepare_folder__refused_leaves_nothing(root: Path) -> None:
    for path in root.glob("*/*"):
        path.write_text("")
    with pytest.raises(ListError):
        prepare(root)
    assert not (root.parent / "lists").exists()


def test_prepare_folder__refused_keeps_the_cache_of_an_interrupted_run(root: Path) -> None:
    (root.parent / "lists").mkdir()
    (root.parent / "lists" / ".survey.jsonl").write_text("")
    for path in root.glob("*/*"):
        path.write_text("")
    with pytest.raises(ListError):
        prepare(root)
    assert written(root) == [".survey.jsonl"]


def test_prepare_folder__root_that_is_not_utf8(root: Path) -> None:
    odd = root.with_name(os.fsdecode(b"vid\xe9os"))
    root.rename(odd)
    assert prepare(odd)["root"].endswith("vid\\udce9os")


def test_prepare_official__split_without_videos(root: Path) -> None:
    (root.parent / "splits").mkdir()
    (root.parent / "splits" / "run_test_split1.txt").write_text("a.avi 0 \n")
    with pytest.raises(UsageError, match="lists no video for split 1"):
        prepare_official(
            "hmdb51", root, root.parent / "splits", PrepareOptions(root.parent / "lists", SilentReporter(), workers=0)
        )


def annotate(root: Path, rows: Sequence[str], names: Sequence[str]) -> Path:
    """Write Kinetics' annotations, and videos of these names."""
    for name in names:
        (root / f"{name}.avi").write_text("20")
    csv = root.parent / "annotations.csv"
    csv.write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]))
    return csv


def test_prepare_official__warns_of_a_recording_on_both_sides(root: Path) -> None:
    """Kinetics' clips of one YouTube video, ten seconds in training and ten in validation."""
    rows = ["run,a_0,1,11,train", "run,a_0,20,30,validate", "walk,b_0,0,10,train", "walk,c_0,0,10,validate"]
    csv = annotate(root, rows, ("a_0_000001_000011", "a_0_000020_000030", "b_0", "c_0"))
    recorder = Recorder()
    audit = prepare_official("kinetics", root, csv, PrepareOptions(root.parent / "out", recorder, workers=0))
    assert (audit["groups"], audit["groups_on_both_sides"]) == (None, ["a_0"])
    says = "1 recording has clips in both train and val; the first is 'a_0'. This is how the split was published; for one of"
    assert any(warning.startswith(says) for warning in recorder.warnings)


def test_prepare_official__videos_that_are_not_drawn_are_on_no_side(root: Path) -> None:
    """Both of one recording, and training keeps the other video of the two."""
    rows = ["run,a_0,1,11,train", "run,d_0,1,11,train", "run,a_0,20,30,validate", "run,d_0,20,30,validate"]
    csv = annotate(root, rows, ("a_0_000001_000011", "a_0_000020_000030", "d_0_000001_000011", "d_0_000020_000030"))
    options = PrepareOptions(root.parent / "out", SilentReporter(), per_class=1, workers=0)
    audit = prepare_official("kinetics", root, csv, options)
    kept = (root.parent / "out/train_split_1.txt").read_text()[:3]
    assert audit["groups_on_both_sides"] == [kept]


def test_survey_cache__ignores_findings_of_another_form(root: Path) -> None:
    """As an earlier version wrote them: the last number was a text."""
    cache = SurveyCache(root.parent / "cache.jsonl", "pyav False")
    cache.path.write_text(json.dumps(["pyav False", "a.avi", [1, 1, "h264", 1, 1, 25.0, "ff"]]) + "\n")
    assert SurveyCache(cache.path, "pyav False").find("a.avi") is None
    cache.add("b.avi", facts(9))
    assert SurveyCache(cache.path, "pyav False").find("b.avi") == facts(9)


def test_prepare_folder__warnings_about_lists_from_folders_say_how_to_draw_them(root: Path) -> None:
    """One person on both sides, by hand: a's videos are in train and in test."""
    for side, names in (("train", "ab"), ("test", "a")):
        for name in names:
            (root.parent / "sides" / side / "run").mkdir(parents=True, exist_ok=True)
            (root.parent / "sides" / side / "run" / f"{name}_{side}.avi").write_text("20")
    audit = prepare(root.parent / "sides", group_by="^([a-z])_", labels="folder")
    assert audit["groups_on_both_sides"] == ["a"]
    says = "1 recording has clips in both train and test; the first is 'a'. This is how the split was published; for one of"
    assert any(
        text.startswith(says) and text.endswith(": --split-from draw --labels parent") for text in audit["warnings"]
    )


def test_prepare_folder__warns_of_a_path_that_is_not_utf8(root: Path) -> None:
    (root / os.fsdecode(b"stray\xe9.avi")).write_text("20")
    warnings = prepare(root)["warnings"]
    assert warnings[0].startswith(
        "1 video lies in no class folder, and will not be listed; the first is 'stray\\udce9.avi'"
    )
