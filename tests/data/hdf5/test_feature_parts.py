import io
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.damage import damages
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.errors import DamagedFile, ListError, UsageError, VtdlError

NAMES = [f"class a/video é {number}.avi" for number in range(6)]
PROVENANCE = {"weights_sha256": "ab12", "list_sha256": "cd34", "protocol": "video@10"}
SKIPPED = {"path": NAMES[2], "reason": "the file is empty"}


def columns(*positions: int, clips: int = 0) -> dict[str, Any]:
    """Rows of the videos at `positions`: features are (position, position + .5, ..), labels 10 and frames 100 more."""
    at = np.array(positions, dtype=np.int64)
    shape = (len(at), clips, 4) if clips else (len(at), 4)
    features = np.broadcast_to(at.reshape(-1, *(1,) * (len(shape) - 1)) + 0.5 * np.arange(4), shape)
    return {"features": features.astype(np.float32), "labels": at + 10, "num_frames": at + 100, "positions": at}


def start(
    out: Path, *, resume: bool = False, overwrite: bool = False, provenance: dict[str, str] = PROVENANCE
) -> FeatureParts:
    return FeatureParts(out, provenance, resume=resume, overwrite=overwrite)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new" / "features.h5"


@pytest.fixture
def begun(out: Path) -> FeatureParts:
    """Interrupted after three of six videos, one of which could not be read."""
    parts = start(out)
    parts.begin()
    parts.add(2, [], columns(0, 1))
    parts.add(3, [SKIPPED], columns())
    return parts


def finish(parts: FeatureParts) -> None:
    parts.add(6, [], columns(3, 4, 5))
    parts.finish(NAMES.__getitem__)


def check_file(out: Path) -> None:
    """The five readable videos, in the list's order, and nothing else in the folder."""
    expected = columns(0, 1, 3, 4, 5)
    with h5py.File(out) as file:
        assert {name: file[name].dtype for name in ("features", "labels", "num_frames")} == {
            "features": np.float32,
            "labels": np.int64,
            "num_frames": np.int64,
        }
        for name in ("features", "labels", "num_frames"):
            assert np.array_equal(file[name][:], expected[name])
        assert [path.decode() for path in file["paths"][:]] == [NAMES[i] for i in (0, 1, 3, 4, 5)]
        assert {name: file.attrs[name] for name in PROVENANCE} == PROVENANCE
        assert int(file.attrs["schema"]) == 1
        assert json.loads(str(file.attrs["skipped"])) == [SKIPPED]
    assert list(out.parent.iterdir()) == [out]


def test_feature_parts__round_trip(out: Path, begun: FeatureParts) -> None:
    """Oracle: what was put in, under the names and types of README."""
    finish(begun)
    check_file(out)


def test_feature_parts__a_vector_for_each_clip(out: Path) -> None:
    """Oracle: README: `[N, clips, D]`."""
    parts = start(out)
    parts.begin()
    parts.add(2, [], columns(0, 1, clips=3))
    parts.finish(NAMES.__getitem__)
    with h5py.File(out) as file:
        assert file["features"].shape == (2, 3, 4)
        assert np.array_equal(file["features"][:], columns(0, 1, clips=3)["features"])


def test_feature_parts__interrupted_leaves_parts_and_no_file(out: Path, begun: FeatureParts) -> None:
    assert not out.exists()
    assert [path.suffix for path in begun.folder.iterdir()] == [".npz", ".npz"]


def test_feature_parts__resumed_it_ends_in_the_same_file(out: Path, begun: FeatureParts) -> None:
    """Oracle: `check_file`, which the uninterrupted extraction passes; a part cut short by a kill is not counted."""
    (begun.folder / ".000000004.npz.part").write_bytes(b"cut short")
    parts = start(out, resume=True)
    parts.begin()
    assert (parts.done, parts.skipped) == (3, [SKIPPED])
    finish(parts)
    check_file(out)


def test_feature_parts__resume_before_anything_was_kept(out: Path) -> None:
    for folder_is_there in (False, True):
        parts = start(out, resume=True)
        assert (parts.done, parts.skipped) == (0, [])
        if not folder_is_there:
            parts.folder.mkdir(parents=True)


@pytest.mark.parametrize("name", PROVENANCE)
def test_feature_parts__rows_of_another_provenance_are_refused(out: Path, begun: FeatureParts, name: str) -> None:
    with pytest.raises(UsageError, match=f"was begun with another {name}.*--overwrite"):
        start(out, resume=True, provenance=PROVENANCE | {name: "other"})
    assert begun.folder.is_dir()


def test_feature_parts__what_is_in_the_way_is_refused(out: Path, begun: FeatureParts) -> None:
    with pytest.raises(UsageError, match=r"was interrupted.*--resume"):
        start(out)
    finish(begun)
    with pytest.raises(UsageError, match=r"exists.*--overwrite"):
        start(out)
    with pytest.raises(UsageError, match=f"is a folder.*--out {out.parent}/features.h5"):
        start(out.parent)
    check_file(out)


def test_feature_parts__resuming_a_finished_file_leaves_it(out: Path, begun: FeatureParts) -> None:
    """Oracle: README; a file of another provenance, or one that is no HDF5, is still in the way."""
    assert not begun.finished
    finish(begun)
    parts = start(out, resume=True)
    assert (parts.finished, parts.skipped) == (True, [SKIPPED])
    with pytest.raises(UsageError, match="another weights_sha256"):
        start(out, resume=True, provenance=PROVENANCE | {"weights_sha256": "other"})
    check_file(out)
    out.write_text("a letter")
    with pytest.raises(UsageError, match="exists"):
        start(out, resume=True)


def test_feature_parts__overwriting_deletes_rows_and_keeps_the_old_file_until_the_end(
    out: Path, begun: FeatureParts
) -> None:
    parts = start(out, overwrite=True)
    parts.begin()
    assert not begun.folder.exists()
    parts.add(2, [], columns(4, 5))
    parts.finish(NAMES.__getitem__)

    parts = start(out, overwrite=True)
    parts.begin()
    parts.add(1, [], columns(0))
    with h5py.File(out) as file:
        assert file["labels"][:].tolist() == [14, 15]
    parts.finish(NAMES.__getitem__)
    with h5py.File(out) as file:
        assert file["labels"][:].tolist() == [10]


def test_feature_parts__an_interrupted_overwrite_resumes(out: Path, begun: FeatureParts) -> None:
    """Oracle: the hint of the interruption, "go on with --resume", although the file to be replaced is there."""
    out.write_bytes(b"the old file")
    with pytest.raises(UsageError, match="exists"):
        start(out)
    parts = start(out, resume=True)
    parts.begin()
    assert parts.done == begun.done
    finish(parts)
    check_file(out)


class Killed(BaseException):
    """What nothing catches, as kill -9."""


def run(out: Path, ends: tuple[int, ...] = (2, 3, 6), *, resume: bool = False, overwrite: bool = False) -> None:
    """An extraction whose parts end at these videos, from where it stands; it is complete after six."""
    parts = start(out, resume=resume, overwrite=overwrite)
    parts.begin()
    if parts.finished:
        return
    for end in ends:
        if numbers := range(parts.done, end):
            readable = [number for number in numbers if number != 2]
            parts.add(end, [SKIPPED] * (2 in numbers), columns(*readable) if readable else {})
    if ends[-1] == len(NAMES):
        parts.finish(NAMES.__getitem__)


def killed_at(step: int, out: Path, patch: pytest.MonkeyPatch, *, overwrite: bool) -> bool:
    """Whether a run got as far as its `step`-th renaming or removal, and ended there."""
    left = iter(range(step))
    for name in ("replace", "unlink", "rmdir"):

        def take(path: Path, *arguments: Any, _name: str = name, _real: Any = getattr(Path, name), **more: Any) -> Any:
            cleaning = _name == "unlink" and path.name.endswith(".part")  # what a killed run does not come to
            if not cleaning and next(left, None) is None:
                raise Killed
            return _real(path, *arguments, **more)

        patch.setattr(Path, name, take)
    try:
        run(out, overwrite=overwrite)
    except Killed:
        return True
    return False


@pytest.mark.parametrize(("overwrite", "num_steps"), [(False, 8), (True, 12)])
def test_feature_parts__killed_at_any_step_it_resumes_to_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, num_steps: int
) -> None:
    """Oracle: `check_file`. Three parts and the file are written, then the parts and their folder removed.

    An overwriting run has three older parts and their folder to remove first, of the same rows cut otherwise.
    """
    for step in range(num_steps + 1):
        out = tmp_path / str(step) / "features.h5"
        if overwrite:
            run(out, (1, 3, 5))
        with monkeypatch.context() as patch:
            assert killed_at(step, out, patch, overwrite=overwrite) == (step < num_steps)
        run(out, resume=True)
        check_file(out)


@pytest.fixture
def few_open_files() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, before[1]))
    yield 80
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_feature_parts__more_parts_than_files_may_be_open(out: Path, few_open_files: int) -> None:
    """Oracle: the system's own limit: 1024 by default, which a part every 20 seconds reaches in six hours."""
    parts = start(out)
    parts.begin()
    for number in range(few_open_files):
        parts.add(number + 1, [], columns(number))
    parts.finish(str)
    with h5py.File(out) as file:
        assert file["features"].shape == (few_open_files, 4)


def odd_parts(begun: FeatureParts) -> Iterator[tuple[str, bytes]]:
    """Contents of the first part that are not as it was written."""
    path = begun.folder / "000000002.npz"
    whole = path.read_bytes()
    yield from ((f"damage {number}", content) for number, content in enumerate(damages(whole)) if content != whole)
    with np.load(path) as part:
        rows = dict(part)
    state = json.loads(str(rows["state"]))
    changes: dict[str, dict[str, Any]] = {
        "no state": {"state": None},
        "state is no JSON": {"state": np.array("{")},
        "state is a list": {"state": np.array("[1]")},
        "done is another": {"state": np.array(json.dumps({**state, "done": 1}))},
        "skipped is text": {"state": np.array(json.dumps({**state, "skipped": "all"}))},
        "no labels": {"labels": None},
        "labels are text": {"labels": np.array(["a", "b"])},
        "rows are missing": {"positions": rows["positions"][:1]},
        "positions beyond": {"positions": rows["positions"] + 5},
    }
    for name, change in changes.items():
        file = io.BytesIO()
        np.savez(file, **{key: value for key, value in (rows | change).items() if value is not None})
        yield name, file.getvalue()
    yield "empty", b""
    yield "text", b"a letter"


def test_feature_parts__damaged_ones_are_named(out: Path, begun: FeatureParts) -> None:
    """Or the damage is in what nobody reads, such as a time in the zip: then the rows are those that were written."""
    path = begun.folder / "000000002.npz"
    refused = dict[str, str]()
    for name, content in list(odd_parts(begun)):
        path.write_bytes(content)
        try:
            rows = [part["features"].tolist() for part in start(out, resume=True)._rows()]
        except DamagedFile as error:
            refused[name] = str(error)
        else:
            assert rows == [columns(0, 1)["features"].tolist()], name
    says = f"output '{out}' cannot be resumed: its part '{path}' is damaged, or one before it is missing. Remove it"
    assert all(line.startswith(says) for line in refused.values())
    assert len(refused) > 45
    assert {"no state", "state is a list", "labels are text", "positions beyond", "empty"} <= refused.keys()


def test_feature_parts__a_part_that_is_missing_is_noticed(out: Path, begun: FeatureParts) -> None:
    """Oracle: three videos were dealt with, and of the first two there is nothing any more."""
    (begun.folder / "000000002.npz").unlink()
    with pytest.raises(DamagedFile, match="000000003.npz' is damaged, or one before it is missing. Remove it"):
        start(out, resume=True)


def test_finish__lost_part_is_an_error_and_writes_nothing(out: Path, begun: FeatureParts) -> None:
    """Oracle: six videos less the two rows of the part that is removed."""
    next(begun.folder.glob("*2.npz")).unlink()
    with pytest.raises(VtdlError, match=r"would have 3 rows and 1 skipped videos of 6: parts in '.*' are missing"):
        finish(begun)
    assert not out.exists()


def test_finish__without_a_single_row_is_an_error_and_writes_nothing(out: Path) -> None:
    parts = start(out)
    parts.begin()
    parts.add(6, [SKIPPED], columns())
    with pytest.raises(ListError, match="would be empty: no video of the list could be read"):
        parts.finish(NAMES.__getitem__)
    assert not out.exists()


def test_feature_parts__rows_of_two_versions_are_told(out: Path) -> None:
    """A folder that has moved, or another torch, changes no feature or its last digits: the file names both. What
    changes numbers is refused, and so is not what an older version did not write.
    """
    before = {**PROVENANCE, "root": "/a", "torch_version": "2.10", "precision": "float32", "group_by": ""}
    parts = start(out, provenance=before)
    parts.begin()
    parts.add(3, [SKIPPED], columns(0, 1))
    with pytest.raises(UsageError, match="was begun with another precision"):
        start(out, resume=True, provenance={**before, "precision": "bfloat16"})
    for _ in range(2):  # resumed twice: told once more, named once
        now = {**before, "torch_version": "2.11", "group_by": "(a)"}
        parts = start(out, resume=True, provenance=now)
        assert parts.standing(6).endswith("resumes at video 3 of 6; its torch_version was '2.10'")
    finish(parts)
    with h5py.File(out) as file:
        assert json.loads(file.attrs["torch_version"]) == ["2.10", "2.11"]
        assert [file.attrs[name] for name in ("root", "precision", "group_by")] == ["/a", "float32", "(a)"]
    assert start(out, resume=True, provenance={**before, "torch_version": "2.12"}).finished


def test_feature_parts__of_an_older_version(out: Path, begun: FeatureParts) -> None:
    assert begun.done == 3
    parts = start(out, resume=True, provenance={**PROVENANCE, "root": "/a", "precision": "float32"})
    assert parts.differing == {"root": "unknown"}
    finish(parts)
    with h5py.File(out) as file:
        assert json.loads(file.attrs["root"]) == ["unknown", "/a"]
