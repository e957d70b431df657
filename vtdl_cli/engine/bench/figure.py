"""The picture of a measurement."""

from collections.abc import Mapping
from pathlib import Path

from vtdl_cli.runtime import atomic_write


def write_figure(values: Mapping[str, float], unit: str, title: str, path: Path) -> None:
    """Write the times as bars; see `analysis.times.draw_times`.

    Raises:
        VtdlError: the file cannot be written.
    """
    from vtdl_cli.analysis.times import draw_times

    with atomic_write(path) as temporary:
        draw_times(values, unit, title, temporary)
