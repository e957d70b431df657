"""`vtdl features info|merge|export|import`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

features = typer.Typer(no_args_is_help=True, help="Describe, merge, export and import feature files.")


@features.command(
    epilog="""Examples:

vtdl features info train.h5

vtdl features info train.h5 val.h5 --json
"""
)
def info(
    files: Annotated[list[Path], typer.Argument(metavar="F.h5...", help="HDF5 of vtdl extract.")],
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Print content and provenance of feature files, and check them for damage."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.features.files import describe_features

    described = describe_features(files, make_reporter(quiet=False))
    if as_json:
        print_result(described, as_json, "")
        return
    for path, facts in described.items():
        print_result(facts, as_json, f"features: {path}")


@features.command(
    epilog="""Examples:

vtdl features merge part_1.h5 part_2.h5 --out all.h5

vtdl features merge train.h5 val.h5 test.h5 --out all.h5 --overwrite
"""
)
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="A.h5 B.h5...", help="HDF5 of vtdl extract, two or more.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Concatenate features of one network and different videos, in the order given."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.features.files import merge_features

    print_result(merge_features(files, out, make_reporter(quiet=False), overwrite=overwrite), as_json, "merged")


@features.command(
    epilog="""Examples:

vtdl features export clips.h5 --out clips.parquet --average

vtdl features export dense.h5 --out dense --format actionformer
"""
)
def export(
    file: Annotated[Path, typer.Argument(metavar="F.h5", help="HDF5 of vtdl extract.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="X.npy|X.npz|X.csv|X.parquet|DIR",
            help="File to write: .npy, an array of the features alone; .npz, all arrays of the file; or a table with a "
            "video or sliding window a line (path, label, class where it has a name, num_frames, f0, f1, ...). Parquet "
            "needs pyarrow. With --format actionformer a folder.",
        ),
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="actionformer",
            help="Of features of sliding windows: an array (T, D) for each video, and the stride and fps for "
            "ActionFormer's configuration.",
        ),
    ] = None,
    average: Annotated[
        bool,
        typer.Option("--average", help="One vector a video: the mean over its clips, time positions and windows."),
    ] = False,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write features for other programs."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.features.export import export_features

    reporter = make_reporter(quiet=False)
    result = export_features(file, out, reporter, name=format_, average=average, overwrite=overwrite)
    print_result(result, as_json, "exported")


@features.command(
    "import",
    epilog="""Examples:

vtdl features import vjepa2.npy --list lists/train_split_1.txt --out vjepa2_train.h5

vtdl features import videomae.csv --list lists/val_split_1.txt --out videomae_val.h5 --network 'VideoMAE ViT-B'
""",
)
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="X.npy|X.npz|X.csv|X.parquet",
            help="Vectors of another program: videos x channels, or with clips and times between. In a table the "
            "columns path, start, end, label, ... name the video, all others are channels; in .npz the arrays are "
            "features and paths. Parquet needs pyarrow.",
        ),
    ],
    videos_list: Annotated[
        Path,
        typer.Option(
            "--list",
            metavar="LIST",
            help="The list of their videos, which gives the classes. Without paths the rows are in its order.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    network: Annotated[
        str,
        typer.Option(metavar="NAME", help="What computed them. Files of different networks are not compared."),
    ] = "imported",
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Read features of another program, to probe them and to search in them as in ours."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.features.import_features import import_features

    source = o.list_source(videos_list, root, strip_prefix, list_columns)
    result = import_features(file, source, out, network, make_reporter(quiet=False), overwrite=overwrite)
    print_result(result, as_json, "imported")
