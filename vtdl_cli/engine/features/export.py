"""Features exported for other programs."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vtdl_cli.data.hdf5.actionformer import CONFIG_FILE, write_actionformer
from vtdl_cli.data.hdf5.feature_arrays import write_npz
from vtdl_cli.data.hdf5.feature_tables import ARRAY, ARRAYS, writer_for
from vtdl_cli.data.hdf5.features import is_ragged, open_features, read_blocks
from vtdl_cli.data.hdf5.layout import class_names_in
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, lock_whole_folder, releasing_locks
from vtdl_cli.runtime import Reporter, Warn, atomic_write, check_new_file, check_writable, ignore_warning, write_error

ACTIONFORMER = "actionformer"
FORMATS = ("npy", "npz", ACTIONFORMER)
"""Formats that hold features of any shape; tables are for one vector a row."""


def path_beside(out: Path, name: str) -> Path:
    """Return where `vtdl extract` exports features in a format: beside `out`.

    Raises:
        UsageError: the format is unknown, or the path is `out` itself.
    """
    if name not in FORMATS:
        raise UsageError(f"--format '{name}' is unknown. Choose from {', '.join(FORMATS)}")
    path = out.with_name(f"{out.stem}-{name}") if name == ACTIONFORMER else out.with_suffix(f".{name}")
    if path == out:
        raise UsageError(f"--format {name} writes '{path}', which is --out itself. Choose an --out that ends in .h5")
    return path


def check_export(path: Path, name: str | None, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Check at the start that a file, or a folder of ActionFormer, can be written.

    Raises:
        UsageError: it exists, or is no folder of ActionFormer that may be replaced; or see `check_new_file`.
    """
    if name != ACTIONFORMER or path.is_file():
        check_new_file(path, "--out", overwrite=overwrite, sources=sources)
    if name != ACTIONFORMER or not path.exists():
        check_writable(path.parent)
        return
    is_ours = path.is_dir() and ((path / CONFIG_FILE).is_file() or not any(path.iterdir()))
    if not is_ours:
        raise UsageError(f"output '{path}' is not a folder of --format {ACTIONFORMER}. Choose another --out")
    if not overwrite:
        raise UsageError(f"output '{path}' exists. Use --overwrite, or another --out")


def stale_exports(out: Path, formats: Iterable[str]) -> list[str]:
    """Return a warning for each export of earlier features beside `out`, in a format that is not written now."""
    beside = {name: path_beside(out, name) for name in FORMATS if name not in formats and out.suffix != f".{name}"}
    return [
        f"'{path}' is of an earlier extraction, and is not renewed. To renew it: --format {name}"
        for name, path in beside.items()
        if path.exists()
    ]


def lock_export(path: Path, name: str | None, reporter: Reporter) -> None:
    """Lock a file, or a folder of ActionFormer, for writing."""
    (lock_whole_folder if name == ACTIONFORMER else lock_file)(path, reporter)


@releasing_locks
def export_features(
    path: Path,
    out: Path,
    reporter: Reporter,
    *,
    name: str | None = None,
    average: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write features as an array, a table, or a folder of arrays.

    Args:
        path: the HDF5 file.
        out: .npy, .npz, .csv or .parquet; or a folder.
        reporter: warns where `out` cannot be locked.
        name: ACTIONFORMER for the folder; None: by the suffix of `out`.
        average: over the clips, time positions and windows of a video, where the file has several.
        overwrite: replace an existing `out`.

    Returns:
        The new file's path and the shape of its features.

    Raises:
        UsageError: `path` is no feature file or damaged, or `out` exists or cannot hold features of this shape.
    """
    _check_format(out, name, average=average)
    lock_export(out, name, reporter)
    check_export(out, name, overwrite=overwrite, sources=[path])
    return {"out": str(out), "shape": list(write_export(path, out, name, reporter.warn, average=average))}


def _check_format(out: Path, name: str | None, *, average: bool) -> None:
    """Raise UsageError if the options do not go together, or a library is not installed."""
    if name not in (None, ACTIONFORMER):
        raise UsageError(f"--format '{name}' is unknown. Use {ACTIONFORMER}, or none: --out's suffix chooses")
    if name and average:
        raise UsageError(f"--average leaves one vector a video, and --format {name} is for many. Leave out one")
    if name is None and out.suffix != ARRAYS:
        writer_for(out)


def write_export(
    source: Path, out: Path, name: str | None, warn: Warn = ignore_warning, *, average: bool = False
) -> tuple[int, ...]:
    """Write features as `export_features` does, without checking `out`; return their shape.

    Raises:
        UsageError: `source` is no feature file or damaged, or `out` cannot hold such features.
    """
    if name == ACTIONFORMER:
        return _write_folder(source, out, warn)
    with open_features(source, warn) as file, atomic_write(out) as temporary:
        if out.suffix == ARRAYS:
            return write_npz(temporary, file, average=average)
        number, *between, dim = file.shape("features")
        number = file.shape("labels")[0] if average else number
        shape = (number, dim) if average else (number, *between, dim)
        if len(shape) > 2 and out.suffix != ARRAY:
            raise UsageError(
                f"features '{source}' have {' x '.join(map(str, shape[1:]))} values per video, too many for a table. "
                f"Add --average, or choose {ARRAY}"
            )
        if is_ragged(file) and out.suffix == ARRAY and not average:
            warn(f"array '{out}' does not hold which video a vector is of. {ARRAYS} does")
        writer_for(out)(temporary, shape, read_blocks(file, average=average), class_names_in(file.attributes))
        return shape


def _write_folder(source: Path, out: Path, warn: Warn) -> tuple[int, ...]:
    """Write the folder under another name, then rename it, so that it is whole or not there.

    Raises:
        VtdlError: a file cannot be written.
    """
    temporary = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with open_features(source, warn) as file:
            shape = write_actionformer(temporary, file, source, out)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return shape
