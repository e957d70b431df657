"""Oracle throughout: every frame of the file, decoded in order by PyAV and stretched by Pillow, written here anew.

Tolerance: a mean of half a grey level in every frame, as libraries convert colours differently.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.odd_videos import number_frame
from tests.toy import write_video
from vtdl_cli.data.video.decoding import DECODERS, open_video
from vtdl_cli.data.video.probe import probe_video
from vtdl_cli.data.video.reader import unreadable
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.errors import UnreadableVideo, UsageError

DECODER_NAMES = ("auto", "decord", "pyav", "torchcodec")
GOOD_CLIPS = (
    "weizmann/bend/daria_bend.avi",
    "tennis7/smash/smash48.mp4",
    "UCF-101/BenchPress/v_BenchPress_g01_c03.avi",
    "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi",
    "hmdb51/wave/TrumanShow_wave_f_nm_np1_fr_med_26.avi",
    "hmdb51/cartwheel/Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
    "hmdb51/climb_stairs/*.mp4",
    "kinetics400/val/using_segway/SOX5yA1l24A.mp4",
)
# AVI with frames out of order has no true timestamps, and torchcodec knows frames by nothing else.
REFUSED_BY_TORCHCODEC = ("v_ApplyEyeMakeup_g01_c02", "TrumanShow", "Turnk_r")
REASONS = {
    ("av1_video.mkv", "decord"): "codec (av1)",
    ("no_duration.webm", "decord"): "or its header",
    ("zero_bytes.webm", "*"): "the file is empty",
    ("sine_mono_s16.wav", "*"): "no video stream",
    ("corrupted.mp4", "*"): "damage",
}
FAULTS = (
    *("av1_video.mkv", "corrupted.mp4", "declares_more_frames_than_it_has.mp4", "h265_video.mp4", "no_duration.webm"),
    *("sine_mono_s16.wav", "stream_copied_cut.mkv", "unordered.mov", "variable_frame_rate.mp4", "video_0.mov"),
    *("video_180.mov", "video_90.mov", "zero_bytes.webm"),
)
MakeVideo = Callable[..., Path]


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path), metadata_errors="replace") as container:
        aspect = float(container.streams.video[0].sample_aspect_ratio or 1)
        frames = [(frame.to_ndarray(format="rgb24"), frame.rotation // 90) for frame in container.decode(video=0)]
    return np.stack([np.rot90(stretch(frame, aspect), quarters) for frame, quarters in frames])  # (T, H, W, 3)


def stretch(frame: np.ndarray, aspect: float) -> np.ndarray:
    """Widen a frame whose pixels are shown wider than high, as in the tennis clips alone; 1/254 is no difference."""
    if abs(aspect - 1) < 0.01:
        return frame
    size = (round(frame.shape[1] * aspect), frame.shape[0])
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each pair of frames, in grey levels; every second pixel, for speed."""
    return np.abs(a[:, ::2, ::2].astype(np.int16) - b[:, ::2, ::2]).mean(axis=(1, 2, 3))  # type: ignore[no-any-return]


def find(data_dir: Path, pattern: str) -> Path:
    return next(iter(data_dir.glob(pattern)))


@pytest.fixture(params=DECODER_NAMES)
def decoder(request: pytest.FixtureRequest) -> str:
    if request.param == "torchcodec":
        try:
            import torchcodec.decoders  # noqa: F401
        except (ImportError, RuntimeError, OSError):
            pytest.skip("needs torchcodec, and FFmpeg 4 to 9 on the system")
    return str(request.param)


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    def make(name: str, codec: str, num_frames: int = 30, start_pts: int = 0, **options: str) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=25, options=options)
            stream.width = stream.height = 32
            stream.pix_fmt = {"ffv1": "bgr0", "libx264rgb": "rgb24"}.get(codec, "yuv420p")
            for number in range(num_frames):
                frame = av.VideoFrame.from_ndarray(number_frame(number), format="rgb24")
                frame.pts = number + start_pts
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.mark.parametrize("clip", GOOD_CLIPS)
def test_read__real_clips_equal_a_decode_in_full(data_dir: Path, clip: str, decoder: str) -> None:
    path = find(data_dir, clip)
    if decoder == "torchcodec" and path.name.startswith(REFUSED_BY_TORCHCODEC):
        with pytest.raises(UnreadableVideo, match="timestamps"), open_video(path, decoder):
            pass
        return
    truth = decode_all(path)
    generator = np.random.default_rng(0)
    with open_video(path, decoder) as reader:
        assert reader.num_frames == len(truth)
        for wanted in (range(0, len(truth), 5), generator.integers(len(truth), size=16), [len(truth) - 1, 0]):
            frames = reader.read(np.asarray(wanted))
            assert frames.dtype == np.uint8
            assert difference(frames, truth[np.asarray(wanted)]).max() < 0.5


@pytest.mark.parametrize("fault", FAULTS)
def test_read__a_faulty_file_is_right_or_refused(
    data_dir: Path, fault: str, decoder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = data_dir / "faults" / fault
    reason = REASONS.get((fault, decoder)) or REASONS.get((fault, "*"))
    if reason:
        with pytest.raises(UnreadableVideo) as error:
            probe_video(path, decoder, verify=True)
        assert reason in str(error.value)
        assert str(error.value).count(str(path)) == 1
    else:
        truth = decode_all(path)
        wanted = np.linspace(0, len(truth) - 1, 6).astype(int)[[3, 1, 5, 0, 4, 2, 1]]
        with open_video(path, decoder) as reader:
            assert reader.num_frames == len(truth)
            frames = reader.read(wanted)
        assert frames.shape == truth[wanted].shape
        assert difference(frames, truth[wanted]).max() < 0.5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["video_0.mov", "unordered.mov", "h265_video.mp4"])
def test_probe_video__counts_short_files(data_dir: Path, fault: str, decoder: str) -> None:
    path = data_dir / "faults" / fault
    assert probe_video(path, decoder).num_frames == len(decode_all(path))


def test_probe_video__finds_damage_that_decoders_paper_over(data_dir: Path, tmp_path: Path, decoder: str) -> None:
    content = bytearray((data_dir / "UCF-101/BenchPress/v_BenchPress_g01_c02.avi").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(content)
    with pytest.raises(UnreadableVideo, match="damaged at frame"):
        probe_video(damaged, decoder, verify=True)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("lossless.mkv", "ffv1", {}),
        ("short_groups.mp4", "libx264rgb", {"crf": "0", "g": "8"}),
        ("reordered.mp4", "libx264", {"crf": "1", "g": "10", "bf": "2"}),
        ("open_groups.mp4", "mpeg4", {"qmin": "1", "qmax": "1", "g": "10", "bf": "2"}),
    ],
)
def test_read__any_order_with_repeats(
    make_video: MakeVideo, decoder: str, name: str, codec: str, options: dict[str, str]
) -> None:
    path = make_video(name, codec, **options)
    wanted = [29, 3, 3, 17, 0, 29, 11]
    with open_video(path, decoder) as reader:
        assert reader.num_frames == 30
        frames = reader.read(wanted)
        again = reader.read(np.array(wanted))
    assert difference(frames, np.stack([number_frame(number) for number in wanted])).max() < 3
    assert np.array_equal(frames, again)


def test_read__edit_list_hides_the_frames_before_it(make_video: MakeVideo, decoder: str) -> None:
    # Frames at times below 0 make FFmpeg write an edit list: they are in the file, and are never shown.
    path = make_video("edited.mp4", "mpeg4", start_pts=-5, qmin="1", qmax="1", g="10")
    truth = decode_all(path)
    assert len(truth) == 25
    with open_video(path, decoder) as reader:
        assert reader.num_frames == 25
        assert difference(reader.read([20, 4]), truth[[20, 4]]).max() < 1


def test_read__mpegts_is_right_or_refused(make_video: MakeVideo, decoder: str) -> None:
    path = make_video("broadcast.ts", "mpeg2video", g="10", bf="2")
    if decoder not in ("auto", "pyav"):
        with pytest.raises(UnreadableVideo, match="use the decoder auto or pyav"), open_video(path, decoder):
            pass
        return
    with open_video(path, decoder) as reader:
        assert difference(reader.read([25, 2]), decode_all(path)[[25, 2]]).max() == 0


@pytest.mark.parametrize("wanted", [[-1], [0, 30], []])
def test_read__index_out_of_range(make_video: MakeVideo, decoder: str, wanted: list[int]) -> None:
    with open_video(make_video("v.mkv", "ffv1"), decoder) as reader, pytest.raises(IndexError):
        reader.read(wanted)


def test_scan_video__trusts_seeking_only_where_it_is_right(make_video: MakeVideo) -> None:
    assert scan_video(make_video("closed.mp4", "libx264", g="10", bf="0")).seekable
    open_groups = scan_video(make_video("open.mp4", "mpeg4", qmin="1", qmax="1", g="10", bf="2"))
    assert (open_groups.timed, open_groups.seekable) == (True, False)
    assert not scan_video(make_video("made_up_times.avi", "mpeg4", g="10", bf="2")).timed


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("absent.mp4", None, "no such file or directory"),
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"not a video at all", "corrupt, or not a video (Invalid data found when processing input)"),
        ("odd:name.mp4", b"not a video at all", "corrupt, or not a video (Invalid data found when processing input)"),
    ],
)
def test_open_video__refuses_in_one_short_sentence(
    tmp_path: Path, decoder: str, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableVideo) as error, open_video(path, decoder):
        pass
    assert str(error.value) == f"video '{path}' cannot be read: {reason}"


def test_open_video__an_image_is_not_a_video(tmp_path: Path, decoder: str) -> None:
    Image.fromarray(number_frame(3)).save(tmp_path / "one.jpg")
    with pytest.raises(UnreadableVideo, match="still image"), open_video(tmp_path / "one.jpg", decoder):
        pass


def test_open_video__reads_odd_names(make_video: MakeVideo, decoder: str) -> None:
    path = make_video("v.mkv", "ffv1")
    with open_video(path.rename(path.with_name("a b:%03d!#.mkv")), decoder) as reader:
        assert difference(reader.read([9]), number_frame(9)[None])[0] < 1


def test_open_video__decoder_unknown_or_not_installed(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("v.mkv", "ffv1")
    with pytest.raises(UsageError, match=r"'vcr' is unknown\. Choose from auto, decord, pyav, torchcodec"):
        next(open_video(path, "vcr").gen)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[torchcodec\]'.*FFmpeg 4 to 9"):
        DECODERS["torchcodec"](path)


def test_auto__is_pyav_and_needs_no_decord(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: PyAV's frames, bit for bit; lossy, so that other decoders' colours differ."""
    path = make_video("v.mp4", "libx264", g="10")
    monkeypatch.setitem(sys.modules, "decord", None)
    with open_video(path, "auto") as ours, open_video(path, "pyav") as theirs:
        assert np.array_equal(ours.read([20, 3]), theirs.read([20, 3]))
    with pytest.raises(UsageError, match=r"'decord' cannot be loaded\. It has no wheels.*decoder auto or pyav"):
        DECODERS["decord"](path)


def write_frames(folder: Path, frames: np.ndarray, name: str) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("name", ["img_{:05d}.png", "frame{:06d}.png", "{}.png"])
def test_frame_folder__equals_the_video(data_dir: Path, tmp_path: Path, name: str) -> None:
    truth = decode_all(data_dir / "weizmann/bend/daria_bend.avi")[:12]
    folder = write_frames(tmp_path / "clip", truth, name)
    assert probe_video(folder).num_frames == 12
    with open_video(folder) as reader:
        assert np.array_equal(reader.read([11, 2, 2, 9]), truth[[11, 2, 2, 9]])


def test_frame_folder__jpeg_beside_flow(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", np.stack([number_frame(n) for n in range(3)]), "img_{:05d}.jpg")
    (folder / "flow_x_00001.jpg").write_bytes(b"")
    with open_video(folder) as reader:
        assert reader.num_frames == 3
        assert difference(reader.read([2]), number_frame(2)[None])[0] < 5
        with pytest.raises(IndexError):
            reader.read([3])


def test_frame_folder__refusals(tmp_path: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(UnreadableVideo) as error:
            probe_video(folder, verify=True)
        assert str(error.value).count(str(folder)) == 1
        return error.value.reason

    frames = np.stack([number_frame(n) for n in range(9)])
    gap = write_frames(tmp_path / "gap", frames, "img_{:05d}.jpg")
    for number in (4, 5):
        (gap / f"img_0000{number}.jpg").unlink()
    assert refusal(gap) == "images 4 to 5 are missing"
    twice = write_frames(tmp_path / "twice", frames, "img_{:05d}.jpg")
    Image.fromarray(frames[0]).save(twice / "img_00007.png")
    assert refusal(twice) == "two images have the number 7"
    mixed = write_frames(tmp_path / "mixed", frames, "img_{:05d}.jpg")
    Image.fromarray(frames[0]).save(mixed / "frame000010.jpg")
    assert refusal(mixed) == "the folder mixes images named 'frame' and 'img_'"
    damaged = write_frames(tmp_path / "damaged", frames, "img_{:05d}.jpg")
    (damaged / "img_00009.jpg").write_bytes(b"broken")
    assert refusal(damaged) == "image img_00009.jpg is damaged"
    resized = write_frames(tmp_path / "resized", frames, "img_{:05d}.png")
    Image.fromarray(number_frame(0, size=16)).save(resized / "img_00009.png")
    assert refusal(resized) == "its frames differ in size: 16x16 and 32x32"
    (tmp_path / "none").mkdir()
    assert refusal(tmp_path / "none").startswith("the folder holds no images")


@pytest.mark.parametrize("width", [24, 46, 48, 50, 72, 96])
def test_decord__widths_that_it_misreads_are_refused(tmp_path: Path, width: int) -> None:
    """Oracle: PyAV. decord pads rows to 32 pixels; a padded row of 48 it takes for 48 pixels of four channels."""
    path = tmp_path / "a.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 255, (6, 36, width, 3)).astype(np.uint8))
    if width in (24, 48, 72):
        with (
            pytest.raises(UnreadableVideo, match=f"decord misreads frames {width} pixels wide"),
            open_video(path, "decord"),
        ):
            pass
        return
    with open_video(path, "decord") as ours, open_video(path, "pyav") as theirs:
        assert difference(ours.read(range(6)), theirs.read(range(6))).max() < 0.5


def test_open_video__too_many_open_files_are_no_fault_of_the_video(tmp_path: Path) -> None:
    """Oracle: the system's own limit: the video is not to be counted as one that cannot be read."""
    write_video(tmp_path / "a.mp4", np.zeros((2, 64, 96, 3), np.uint8))
    with open_video(tmp_path / "a.mp4", "pyav") as reader:
        assert reader.num_frames == 2
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"), open_video(tmp_path / "a.mp4", "pyav"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_unreadable__says_so_of_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied")
    assert unreadable(tmp_path / "a.mp4", "corrupt, or not a video", error).reason == (
        "it may not be read. Check its permissions"
    )
