"""`vtdl extract-frames` and `vtdl compress`."""

from pathlib import Path
from typing import Annotated

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

ListArgument = Annotated[Path, typer.Argument(metavar="LIST", help="The videos.")]
OutOption = Annotated[Path, typer.Option(help="Folder to write into; the list of what was written goes there, too.")]
ShortSideOption = Annotated[int, typer.Option(min=16, help="Pixels; smaller videos stay as they are.")]


def extract_frames(
    path: ListArgument,
    out: OutOption,
    short_side: ShortSideOption = 256,
    quality: Annotated[int, typer.Option(min=1, max=95, help="Of the JPEG pictures.")] = 95,
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
    """Write every video of a list as a folder of pictures, which any clip is read from at once."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.engine.lists.transcode import FrameFolderWriter, transcode

    how = o.execution(0, "cpu", workers, resume=resume, overwrite=overwrite)
    source = o.list_source(path, root, strip_prefix, list_columns)
    show(
        transcode(source, out, FrameFolderWriter(short_side, quality), how, speaker(quiet)), as_json, "frames extracted"
    )


def compress(
    path: ListArgument,
    out: OutOption,
    short_side: ShortSideOption = 256,
    crf: Annotated[int, typer.Option(min=0, max=51, help="Of x264: 18 looks like the source, higher is smaller.")] = 20,
    gop: Annotated[int, typer.Option(min=1, help="Frames from one keyframe to the next: fewer are read faster.")] = 8,
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
    """Write every video of a list smaller and with many keyframes, so that clips are read faster."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.engine.lists.transcode import Mp4Writer, transcode

    how = o.execution(0, "cpu", workers, resume=resume, overwrite=overwrite)
    source = o.list_source(path, root, strip_prefix, list_columns)
    show(transcode(source, out, Mp4Writer(short_side, crf, gop), how, speaker(quiet)), as_json, "videos compressed")
