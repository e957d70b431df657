"""Published annotation files, a few entries each with the field names of the originals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.toy import read_list
from vtdl_cli.data.lists.video_list import parse_list
from vtdl_cli.errors import ListError, UsageError

Row = tuple[str, int, tuple[float, float] | None]

SOMETHING = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    },
    {"id": "42326", "label": "closing book", "template": "Closing [something]", "placeholders": ["book"]},
]
SOMETHING_LABELS = {"Opening something": "2", "Holding something next to something": "1", "Closing something": "0"}
DIVING = [
    {"vid_name": "xPM7jdGVhEc_00141", "label": 1, "start_frame": 0, "end_frame": 163},
    {"vid_name": "-mCKvFEdBDg_00002", "label": 0, "start_frame": 0, "end_frame": 90},
]
VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"]]
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"parentName": "Root", "nodeName": "Sailing", "nodeId": 389, "parentId": 0}],
    "database": {
        "sJFgo9H6zNo": {
            "duration": 141.12,
            "subset": "training",
            "resolution": "1280x720",
            "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
            "annotations": [
                {"segment": [0, 124.2325], "label": "Fun sliding down"},
                {"segment": [130.5, 140], "label": "Sailing"},
            ],
        },
        "V1zhqaGFY2A": {"duration": 60.0, "subset": "validation", "annotations": []},
    },
}
KINETICS_JSON = {
    "--QUuC4vJs": {
        "annotations": {"label": "testifying", "segment": [84.0, 94.0]},
        "duration": 10.0,
        "subset": "train",
        "url": "https://www.youtube.com/watch?v=--QUuC4vJs",
    }
}
MMACTION = [{"filename": "abseiling/a.mp4", "label": [1]}, {"filename": "archery/b.mp4", "label": 0, "total_frames": 9}]
RAWFRAMES = [{"frame_dir": "archery/b", "label": 3, "total_frames": 250}]
EPIC = """narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,\
narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes
P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]
P01_01_1,P01,P01_01,00:00:02.629,00:01:04.37,01:00:06.17,262,370,"turn on light, slowly",turn-on,6,light,114,"['light', 'x']",[114]
"""
KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,_4YTwq0-73Y,44,54,train,0
"air drumming",_axE99QAhe8,26,36,train,0
"""
UCF_CRIME = """Abuse028_x264.mp4  Abuse  165  240  -1  -1
Arson011_x264.mp4  Arson  150  420  680  1267

Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1
"""


def write(folder: Path, files: dict[str, Any], present: list[str] | None = None) -> None:
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    for name in present or []:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("files", "present", "rows", "classes"),
    [
        (
            {"train.json": SOMETHING, "labels.json": SOMETHING_LABELS},
            ["20bn/42326.webm", "20bn/78687.webm"],
            [("20bn/78687.webm", 1, None), ("20bn/42326.webm", 0, None)],
            ["Closing something", "Holding something next to something", "Opening something"],
        ),
        ({"test.json": [{"id": "1420"}]}, ["1420.webm"], [("1420.webm", -1, None)], None),
        (
            {"Diving48_V2_train.json": DIVING, "Diving48_vocab.json": VOCABULARY},
            ["rgb/xPM7jdGVhEc_00141.mp4"],
            [("rgb/xPM7jdGVhEc_00141.mp4", 1, None), ("-mCKvFEdBDg_00002", 0, None)],
            ["Back 15som 05Twis FREE", "Back 15som 15Twis FREE"],
        ),
        ({"k.json": KINETICS_JSON}, ["--QUuC4vJs.mkv"], [("--QUuC4vJs.mkv", 0, None)], ["testifying"]),
        ({"ann.json": MMACTION}, [], [("abseiling/a.mp4", 1, None), ("archery/b.mp4", 0, None)], None),
        ({"ann.json": RAWFRAMES}, ["archery/b/img_00001.jpg"], [("archery/b", 3, None)], None),
        (
            {"jester-v1-train.csv": "34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n"},
            [f"20bn-jester-v1/{video}/0000{number}.jpg" for video in (34870, 56557) for number in (1, 2)],
            [("20bn-jester-v1/34870", 0, None), ("20bn-jester-v1/56557", 1, None)],
            ["Drumming Fingers", "Sliding Two Fingers Right"],
        ),
        (
            {"train.csv": "34870;Zooming\n56557;Drumming\n", "jester-v1-labels.csv": "Zooming\nThumb Up\nDrumming\n"},
            ["34870/00001.jpg"],
            [("34870", 0, None), ("56557", 2, None)],
            ["Zooming", "Thumb Up", "Drumming"],
        ),
        ({"train.csv": "a b.mp4 1\nc.mp4 0\n"}, [], [("a b.mp4", 1, None), ("c.mp4", 0, None)], None),  # SlowFast
        ({"list.csv": "path,label\na.mp4,1.0\nb.mp4,-1\n"}, [], [("a.mp4", 1, None), ("b.mp4", -1, None)], None),
        (
            {"list.csv": "path,start,end,start_frame,end_frame\na.mp4,1.5,2,45,60\n"},
            [],
            [("a.mp4", -1, (1.5, 2.0))],
            None,
        ),
        ({"train.csv": "a/b.avi,0,84\nc,1,42\n"}, [], [("a/b.avi", 0, None), ("c", 1, None)], None),
        ({"train.csv": '"a, b.avi",84,2\nc.avi,42,-1\n'}, [], [("a, b.avi", 2, None), ("c.avi", -1, None)], None),
        ({"train.tsv": "v_1\t1\t84\nv_2\t0\t42\n"}, [], [("v_1", 1, None), ("v_2", 0, None)], None),
        ({"train.csv": "a b.mp4,1\nc/d.mp4,0\n"}, [], [("a b.mp4", 1, None), ("c/d.mp4", 0, None)], None),  # VideoMAE
        (
            {"kinetics.csv": KINETICS},
            ["x/_4YTwq0-73Y_000044_000054.mp4", "y/_axE99QAhe8.mp4.webm"],
            [("x/_4YTwq0-73Y_000044_000054.mp4", 0, None), ("y/_axE99QAhe8.mp4.webm", 1, None)],
            ["abseiling", "air drumming"],
        ),
        (
            {"Temporal_Anomaly_Annotation_for_Testing_Videos.txt": UCF_CRIME},
            ["Abuse/Abuse028_x264.mp4"],
            [
                ("Abuse/Abuse028_x264.mp4", 0, (164 / 30, 8.0)),
                ("Arson011_x264.mp4", 1, (149 / 30, 14.0)),
                ("Arson011_x264.mp4", 1, (679 / 30, 1267 / 30)),
                ("Normal_Videos_003_x264.mp4", 2, None),
            ],
            ["Abuse", "Arson", "Normal"],
        ),
        (
            {"list.txt": "# clips\nD:\\clips\\walk\\a.mp4 0\n#b.mp4 0\n\nD:\\clips\\c.mp4 1\n"},
            [],
            [("D:/clips/walk/a.mp4", 0, None), ("D:/clips/c.mp4", 1, None)],
            None,
        ),
        ({"list.csv": "path,label\nwalk\\a.mp4,1\n"}, ["walk/a.mp4"], [("walk/a.mp4", 1, None)], None),
        ({"list.txt": "#1\\a.mp4 0\n#no.mp4 0\n"}, ["#1\\a.mp4"], [("#1\\a.mp4", 0, None)], None),  # a file's own name
    ],
)
def test_read_list__published_formats(
    tmp_path: Path, files: dict[str, Any], present: list[str], rows: list[Row], classes: list[str] | None
) -> None:
    """Oracle: the entries, read by eye."""
    write(tmp_path, files, present)
    videos = read_list(tmp_path / next(iter(files)))
    read = [(videos.name(index), int(videos.labels[index]), videos.interval(index)) for index in range(len(videos))]
    assert read == [(name, label, span and pytest.approx(span)) for name, label, span in rows]
    assert videos.classes == classes


def test_parse_list__epic_kitchens(tmp_path: Path) -> None:
    write(tmp_path, {"EPIC_100_train.csv": EPIC}, ["P01/videos/P01_01.MP4"])
    parsed = parse_list(tmp_path / "EPIC_100_train.csv", chosen={"label": "verb_class"})
    assert parsed.videos.name(1) == "P01/videos/P01_01.MP4"
    assert parsed.videos.labels.tolist() == [3, 6]
    assert [parsed.videos.interval(index) for index in range(2)] == [(0.14, 3.37), pytest.approx((64.37, 3606.17))]
    assert parsed.groups == ["P01", "P01"]
    assert read_list(tmp_path / "EPIC_100_train.csv").labels.tolist() == [-1, -1]  # verbs or nouns: to be chosen


def test_parse_list__activitynet(tmp_path: Path) -> None:
    write(tmp_path, {"activity_net.v1-3.min.json": ACTIVITYNET}, ["v_sJFgo9H6zNo.mp4"])
    videos, sides, _ = parse_list(tmp_path / "activity_net.v1-3.min.json")
    assert [videos.name(index) for index in range(3)] == ["v_sJFgo9H6zNo.mp4"] * 2 + ["V1zhqaGFY2A"]
    assert [videos.interval(index) for index in range(3)] == [(0, 124.2325), (130.5, 140), None]
    assert (videos.labels.tolist(), sides) == ([0, 1, -1], ["train", "train", "val"])
    with pytest.raises(ListError, match="holds the videos of train, val together.*vtdl lists convert"):
        read_list(tmp_path / "activity_net.v1-3.min.json")


def test_parse_list__kinetics_validation(data_dir: Path) -> None:
    """Oracle: the data's README: 2 of the validation clips are on the disk."""
    videos = read_list(data_dir / "splits/kinetics400/val.csv", root=data_dir / "kinetics400")
    assert sum(videos.exists(index) for index in range(len(videos))) == 2
    assert videos.num_classes == 400


@pytest.mark.parametrize(
    ("name", "content", "chosen", "says"),
    [
        ("x.json", [{"clip": "a", "tag": 1}], {}, "JSON of no known form: it has clip, tag, not id and template"),
        ("x.json", [], {}, "JSON of no known form"),
        ("x.json", "[1,", {}, "is not JSON"),
        ("x.json", [{"vid_name": "a", "label": 1}, {"label": 1}], {}, "x.json', entry 2, has no 'vid_name'"),
        ("x.json", [{"filename": "a", "label": [1, 2]}], {}, "has label '[1, 2]', which is not one class number"),
        ("x.json", {"a": {"annotations": [{"segment": [5, 5], "label": "x"}]}}, {}, "has the interval 5 to 5 s"),
        ("x.json", {"a": {"annotations": [{"segment": "5", "label": "x"}]}}, {}, "has segment '5', not two numbers"),
        ("x.csv", "clip_title,label\na,b\n", {"path": "film"}, "--path-column 'film' is no column of list"),
        ("x.csv", "title,label,x\na,b,c\n", {}, "has no column of paths: its first line reads 'title,label,x'"),
        ("x.csv", "title,label,x\na,b,c\n", {"label": "label"}, "has no column of paths, only title, label, x"),
        (
            "x.csv",
            "path,split\na,first\n",
            {"split": "split"},
            "x.csv:2' has split 'first', which is not train, val or",
        ),
        ("x.csv", "path,label\n,b\n", {}, "x.csv:2' has no path"),
        ("x.csv", "", {}, "x.csv' is empty. Write one video a line"),
        ("x.csv", "\n \n", {}, "x.csv' is empty. Write one video a line"),
        ("x.csv", "\n", {"label": "y"}, "--label-column 'y' chooses a column by name, but"),
        ("x.tsv", "# path\tlabel\n", {}, "x.tsv' is empty. Write one video a line"),
        (
            "x.json",
            [{"id": "a"}, {"id": "\ud800"}],
            {},
            "x.json', entry 2, has the text '\\ud800', which is no Unicode",
        ),
        ("x.json", [{"id": "a", "template": "\udfff"}], {}, "entry 1, has the text '\\udfff', which is no Unicode"),
        ("x.csv", "a.mp4,b\nc,d,e\n", {}, "x.csv:2' has 3 cells"),
        ("x.csv", "a.mp4,0,walk\n", {}, "x.csv' does not name its columns: its first line reads 'a.mp4,0,walk'"),
        (
            "x.csv",
            "a.mp4,0,9,1\n",
            {},
            "Name them in a line above it, as in 'path,label,frames' or 'path,frames,label'",
        ),
        ("x.tsv", "a.mp4\t0\twalk\n", {}, "as in 'path\tlabel\tframes' or 'path\tframes\tlabel'"),
        (
            "x.csv",
            "a.mp4,1,84\nb.mp4,2,42\n",
            {},
            "reads 'a.mp4,1,84', and neither of its numbers has a 0 or -1. Name them",
        ),
        (
            "x.csv",
            "a.mp4,1,0\nb.mp4,-1,42\n",
            {},
            "and both of its numbers have a 0 or -1. Name them in a line above it",
        ),
        ("x.csv", "a, b.mp4 0\nc.mp4 1\n", {}, "no column of paths: its first line reads 'a,b.mp4 0'"),
        ("x.json", MMACTION, {"label": "label"}, "--label-column 'label' chooses a column by name, but"),
        ("x.csv", "path,start\na,1\n", {"start": "start"}, "--start-column 'start' needs the other column"),
        ("x.txt", "a.mp4 0\n", {"label": "y"}, "--label-column 'y' chooses a column by name, but"),
        ("x.txt", "a.mp4  Abuse  9  3  -1  -1\n", {}, "x.txt:1' has the interval"),
        ("x.csv", "youtube_id,time_start,time_end\na,1,b\n", {}, "x.csv:2' has time_end 'b'"),
    ],
)
def test_parse_list__refuses(tmp_path: Path, name: str, content: Any, chosen: dict[str, str], says: str) -> None:
    write(tmp_path, {name: content})
    with pytest.raises((ListError, UsageError)) as caught:
        parse_list(tmp_path / name, chosen=chosen)
    assert says in str(caught.value)
