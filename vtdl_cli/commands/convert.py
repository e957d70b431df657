"""`vtdl convert`."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.completion import complete_preset
from vtdl_cli.runtime import unused_path
from vtdl_cli.text import count_names

if TYPE_CHECKING:
    from vtdl_cli.engine.weights.torchvision_weights import Release

EPILOG = """Examples:

vtdl convert ckpt_epoch_48.pth --preset hmdb51/i3d --out authors.pt

vtdl convert runs/finetuned --out classifier.onnx
"""

NAME_LISTS = ("missing", "unexpected", "misshaped", "classifier", "embedding_head", "heads_left_out")
NAMES_IN_TABLE = 6  # of each list
FOREIGN, OUTPUT_FORMS = "Weights of other code", "Forms of output"


@dataclass(frozen=True)
class Weights:
    """What weights to convert: published ones, or else those of a file, a folder or a run."""

    name: str
    release: "Release | None" = None


def _find_weights(name: str) -> Weights:
    """Find published weights; it runs before a missing --out is refused, so that `torchvision:` alone lists them."""
    from vtdl_cli.engine.networks import TORCHVISION

    if not name.startswith(TORCHVISION):
        return Weights(name)
    from vtdl_cli.engine.weights.torchvision_weights import find_release

    return Weights(name, find_release(name))


def convert(
    weights: Annotated[
        Weights,
        typer.Argument(
            parser=_find_weights,
            metavar="RUN|FILE|FOLDER|torchvision:NAME",
            help="A run, or a file or folder that convert has written; weights of the authors' code, or tensors by "
            "name; or torchvision's, such as torchvision:r3d_18, downloaded where need be (torchvision: lists them).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="What to write, by how the name ends. .pt: of other code's weights a checkpoint, of vtdl's the bare "
            "backbone. .safetensors: a checkpoint. .onnx: a classifier, or a pretrained backbone. A folder: "
            "model.safetensors, config.json and a model card, as hubs of models keep them."
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME|FILE",
            help="Which network the weights are of. Not for a run; default for torchvision: kinetics400's.",
            autocompletion=complete_preset,
            rich_help_panel=FOREIGN,
        ),
    ] = None,
    assignments: o.SetOption = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="Replace the beginning of names; may be repeated.", rich_help_panel=FOREIGN
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="classes.txt with the names of their classifier's classes. Default: torchvision's own, else numbers.",
            rich_help_panel=FOREIGN,
        ),
    ] = None,
    min_match: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Percent of the backbone's tensors that have to be in both networks. Default: 95.",
            rich_help_panel=FOREIGN,
        ),
    ] = None,
    key_encoder: Annotated[
        bool,
        typer.Option(
            "--key-encoder",
            help="Take the momentum encoder, not the trained one: of the authors' files, or of a run pretrained by "
            "vtdl.",
        ),
    ] = False,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="uint8|float32",
            help="Frames that an ONNX classifier takes: 0 to 255, or 0 to 1. Default: uint8.",
            rich_help_panel=OUTPUT_FORMS,
        ),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="NAME",
            help="Licence of the weights for the model card, such as apache-2.0. Default: unknown.",
            rich_help_panel=OUTPUT_FORMS,
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Results folder of vtdl evaluate for the model card; may be repeated. Default: all in RUN.",
            rich_help_panel=OUTPUT_FORMS,
        ),
    ] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Take over weights of other code, or write yours for other programs.

    In: the authors' code, torchvision. Out: safetensors, ONNX, a hub's folder.

    A classifier that fits comes along: then the checkpoint is a finetuned network's, and can be evaluated.
    """
    from vtdl_cli.commands.screen import make_reporter
    from vtdl_cli.settings import load_config

    reporter = make_reporter(quiet)
    if preset is None and weights.release:
        preset, assignments = weights.release.preset, [*weights.release.settings, *(assignments or ())]
    config = load_config(preset, assignments or (), reporter.warn) if preset else None
    from vtdl_cli.engine.networks.checkpoint import find_preset
    from vtdl_cli.engine.weights.convert import convert
    from vtdl_cli.engine.weights.converted import Wanted
    from vtdl_cli.engine.weights.import_weights import Import

    imported = Import(
        config=config, assignments=assignments or (), rename=rename or (), min_match=min_match, classes=classes
    )
    wanted = Wanted(frames=frames, license=license_, results=results or ())
    source = weights.release or weights.name
    result = convert(source, out, imported, wanted, reporter, key_encoder=key_encoder, overwrite=overwrite)
    _print(result, as_json)
    if fresh := result.get("missing", []) + result.get("misshaped", []):
        which = "tensors of the backbone that were missing, or of another shape, are randomly initialised"
        reporter.warn(f"{which}: {count_names(fresh)}")
    if not as_json and "stage" in result:
        for line in _next_steps(result, preset or find_preset(weights.name) or "small/r3d", assignments):
            reporter.line(f"next: {line}")


def _print(result: Mapping[str, Any], as_json: bool) -> None:
    """Print the result, in a table with few of many names."""
    from vtdl_cli.commands.screen import print_result

    names = {} if as_json else {each: _shorten(result[each]) for each in NAME_LISTS if each in result}
    print_result({**result, **names}, as_json, "converted")


def _shorten(names: Sequence[str]) -> str:
    return count_names(names, shown=NAMES_IN_TABLE)


def _next_steps(result: dict[str, Any], preset: str, assignments: list[str] | None) -> Iterator[str]:
    """Yield the commands that use the checkpoint."""
    weights = f"--weights {shlex.quote(result['out'])}"
    if result["stage"] == "finetune":
        out = unused_path("results")
        yield f"vtdl evaluate {weights} --list lists/test_split_1.txt --root videos --out {out}"
    lists = f"{o.EXAMPLE_LISTS} --root videos"
    yield f"vtdl finetune {o.retype(preset, assignments)} {weights} {lists} --out {unused_path('runs/finetuned')}"
