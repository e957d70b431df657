"""`vtdl extract-frames` and `vtdl compress`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o

FRAMES_EPILOG = """Examples:

vtdl extract-frames lists/train_split_1.txt --root videos --out frames

vtdl extract-frames lists/train_split_1.txt --root videos --out frames --short-side 128 --quality 90 --resume
"""
COMPRESS_EPILOG = """Examples:

vtdl compress lists/train_split_1.txt --root videos --out small

vtdl compress lists/train_split_1.txt --root videos --out small --short-side 128 --gop 4 --json
"""

VideosOutOption = Annotated[Path, typer.Option("--out", help="Folder to write the videos to, with their list.")]
ShortSideOption = Annotated[
    int, typer.Option(min=16, help="Length of the short side in pixels; smaller videos keep their size.")
]


def extract_frames(
    path: o.VideosArgument,
    out: VideosOutOption,
    short_side: ShortSideOption = 256,
    quality: Annotated[int, typer.Option(min=1, max=95, help="Quality of the JPEG images.")] = 95,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write videos as folders of JPEG frames, from which clips are read faster.

    Every video of a list or folder; any clip can then be read directly.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.lists.transcode import FrameFolderWriter, transcode

    how = o.execution(0, "cpu", workers, resume=resume, overwrite=overwrite)
    source = o.list_source(path, root, strip_prefix, list_columns)
    result = transcode(source, out, FrameFolderWriter(short_side, quality), how, make_reporter(quiet))
    print_result(result if as_json else _say_growth(result), as_json, "frames extracted")


def compress(
    path: o.VideosArgument,
    out: VideosOutOption,
    short_side: ShortSideOption = 256,
    crf: Annotated[
        int,
        typer.Option(min=0, max=51, help="Constant rate factor of x264: 18 looks like the source; higher is smaller."),
    ] = 20,
    gop: Annotated[
        int, typer.Option(min=1, help="Frames from one keyframe to the next; fewer are faster to read.")
    ] = 8,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write videos smaller and with more keyframes, so that clips are read faster.

    Every video of a list or folder.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.lists.transcode import Mp4Writer, transcode

    how = o.execution(0, "cpu", workers, resume=resume, overwrite=overwrite)
    source = o.list_source(path, root, strip_prefix, list_columns)
    result = transcode(source, out, Mp4Writer(short_side, crf, gop), how, make_reporter(quiet))
    print_result(result if as_json else _say_growth(result), as_json, "videos compressed")


def _say_growth(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result for a table: what has grown saves nothing."""
    saved = result["saved_percent"]
    names = {"saved_percent": "grown_percent"} if saved < 0 else {}
    return {names.get(name, name): abs(value) if name in names else value for name, value in result.items()}
