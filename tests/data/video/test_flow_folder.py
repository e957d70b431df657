from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.toy import read_list
from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.data.clips.sampling import uniform_clips
from vtdl_cli.data.clips.views import FixedViews
from vtdl_cli.data.video.decoding import FLOW, open_video
from vtdl_cli.data.video.flow_folder import flow_pair
from vtdl_cli.data.video.folder_scan import is_video_folder, scan_folder
from vtdl_cli.data.video.probe import probe_video
from vtdl_cli.errors import UnreadableVideo

FRAMES, HEIGHT, WIDTH = 6, 20, 30


def flow_images(direction: int) -> np.ndarray:
    """(T, H, W): every image has a grey level of its own."""
    greys = 100 + 10 * np.arange(FRAMES) + 5 * direction
    return np.broadcast_to(greys[:, None, None], (FRAMES, HEIGHT, WIDTH)).astype(np.uint8)


def write_images(folder: Path, images: np.ndarray, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=1):
        Image.fromarray(image).save(folder / name.format(number))


LAYOUTS = {
    "pairs in one folder": ("clip/flow_x_{:05d}.png", "clip/flow_y_{:05d}.png", "clip"),
    "folders x and y": ("clip/x/{:05d}.png", "clip/y/{:05d}.png", "clip"),
    "folders u and v of frames": ("clip/u/frame{:06d}.png", "clip/v/frame{:06d}.png", "clip"),
    "a tree for each direction": ("u/clip/frame{:06d}.png", "v/clip/frame{:06d}.png", "u/clip"),
    "trees by long names, twice": ("flow_x/clip/flow_x_{:05d}.png", "flow_y/clip/flow_y_{:05d}.png", "flow_x/clip"),
    "trees by long names": ("flow_x/clip/{:05d}.png", "flow_y/clip/{:05d}.png", "flow_x/clip"),
}


def make_flow(root: Path, layout: str) -> Path:
    *names, video = LAYOUTS[layout]
    for direction, name in enumerate(names):
        path = root / name
        write_images(path.parent, flow_images(direction), path.name)
    return root / video


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flow_folder__reads_x_and_y_from_their_own_images(tmp_path: Path, layout: str) -> None:
    """Oracle: the images written. The authors' reader loads one file for both directions (their UCF101 dataset)."""
    video = make_flow(tmp_path, layout)
    with open_video(video, FLOW) as reader:
        assert reader.num_frames == FRAMES
        frames = reader.read([4, 0, 0])
    assert (frames.shape, str(frames.dtype)) == ((3, HEIGHT, WIDTH, 2), "uint8")
    assert frames[:, 0, 0].tolist() == [[140, 145], [100, 105], [100, 105]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scan_folder__finds_a_video_once_whatever_the_layout(tmp_path: Path, layout: str) -> None:
    make_flow(tmp_path / "root", layout)
    assert scan_folder(tmp_path / "root", flow=True).videos == [LAYOUTS[layout][2]]


def test_flow_folder__beside_rgb_frames_both_are_read(tmp_path: Path) -> None:
    video = make_flow(tmp_path, "pairs in one folder")
    write_images(video, np.zeros((FRAMES + 1, HEIGHT, WIDTH, 3), np.uint8), "img_{:05d}.png")
    assert probe_video(video).num_frames == FRAMES + 1
    assert probe_video(video, FLOW).num_frames == FRAMES
    with open_video(video) as reader:
        assert reader.read([0]).shape == (1, HEIGHT, WIDTH, 3)


def test_flow_folder__facts(tmp_path: Path) -> None:
    facts = probe_video(make_flow(tmp_path, "folders x and y"), FLOW, verify=True)  # flat, and no worse for it
    assert (facts.num_frames, facts.width, facts.height, facts.codec) == (FRAMES, WIDTH, HEIGHT, "png")


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableVideo) as error:
        probe_video(path, FLOW, verify=True)
    assert error.value.path.startswith(str(path))  # or the half of it that is at fault
    return error.value.reason


def test_flow_folder__refusals(tmp_path: Path) -> None:
    fewer = make_flow(tmp_path / "fewer", "pairs in one folder")
    (fewer / f"flow_y_{FRAMES:05d}.png").unlink()
    assert refusal(fewer) == "it has 6 flow images in x and 5 in y"
    half = make_flow(tmp_path / "half", "pairs in one folder")
    for file in half.glob("flow_y*"):
        file.unlink()
    assert refusal(half).startswith("the folder holds no images named like flow_y")
    later = make_flow(tmp_path / "later", "pairs in one folder")
    for number in range(FRAMES, 0, -1):
        (later / f"flow_y_{number:05d}.png").rename(later / f"flow_y_{number + 1:05d}.png")
    assert refusal(later) == "image flow_x_00001.png has no counterpart: it would be paired with flow_y_00002.png"
    gap = make_flow(tmp_path / "gap", "folders x and y")
    (gap / "y/00003.png").unlink()
    assert refusal(gap) == "image 3 is missing"
    coloured = make_flow(tmp_path / "coloured", "folders x and y")
    colours = np.random.default_rng(0).integers(255, size=(HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(colours).save(coloured / "x/00002.png")
    assert refusal(coloured) == "image 00002.png has colours; flow images are greyscale"
    sizes = make_flow(tmp_path / "sizes", "folders x and y")
    write_images(sizes / "y", flow_images(1)[:, :10], "{:05d}.png")
    assert refusal(sizes) == "its frames differ in size: 30x10 and 30x20"
    rgb = tmp_path / "rgb"
    write_images(rgb, np.zeros((3, 8, 8, 3), np.uint8), "img_{:05d}.png")
    assert refusal(rgb).startswith("it holds no flow")
    (tmp_path / "file.avi").write_bytes(b"video")
    assert refusal(tmp_path / "file.avi").startswith("it holds no flow")
    assert refusal(tmp_path / "absent") == "no such file or directory"


def test_flow_folder__of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of one part has no name above it."""
    make_flow(tmp_path, "pairs in one folder")
    (tmp_path / "rgb").mkdir()
    monkeypatch.chdir(tmp_path)
    assert flow_pair(Path("clip")) is not None
    assert flow_pair(Path("rgb")) is None
    assert not is_video_folder(Path("rgb"), flow=True)


def test_flow_folder__read_as_rgb_is_named(tmp_path: Path) -> None:
    video = make_flow(tmp_path, "pairs in one folder")
    with pytest.raises(UnreadableVideo) as error:
        probe_video(video, "pyav", verify=True)
    assert error.value.reason.startswith("the folder holds only optical flow, which data.modality=flow reads, and no")


def test_flow_folder__grey_images_saved_as_colours(tmp_path: Path) -> None:
    """Some extractors write three equal channels."""
    video = make_flow(tmp_path, "folders x and y")
    Image.fromarray(flow_images(0)[1]).convert("RGB").save(video / "x/00002.png")
    with open_video(video, FLOW) as reader:
        assert reader.read([1])[0, 0, 0].tolist() == [110, 115]


def test_video_clips__of_flow(tmp_path: Path) -> None:
    make_flow(tmp_path, "pairs in one folder")
    (tmp_path / "list.txt").write_text("clip 0 6\n")
    dataset = VideoClips(
        read_list(tmp_path / "list.txt"),
        sampler=uniform_clips(2, 2, 1),
        viewer=FixedViews(16),
        short_side=16,
        decoder=FLOW,
        seed=0,
    )
    sample = dataset[(0, 0)]
    assert sample.windows.shape == (1, 2, 16, 16, 2)  # type: ignore[union-attr]
    assert sample.windows[0, :, 8, 8].tolist() == [[110, 115], [130, 135]]  # type: ignore[union-attr]
