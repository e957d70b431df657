"""The forms that a model may be written in, by how the name of --out ends."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.engine.networks.checkpoint import BACKBONE, save_checkpoint
from vtdl_cli.engine.networks.safetensors_file import SAFETENSORS
from vtdl_cli.engine.weights.backbone_file import write_backbone
from vtdl_cli.engine.weights.converted import Converted, Wanted
from vtdl_cli.engine.weights.hub import check_hub_folder, write_hub_folder
from vtdl_cli.engine.weights.onnx_file import write_onnx
from vtdl_cli.engine.weights.safetensors_form import write_checked
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, lock_folder
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        write: writes it, and returns what to report.
        options: those that it takes, as they are typed.
        is_folder: whether it is a folder.
    """

    write: Callable[[Converted, Path, Wanted, Reporter], dict[str, Any]]
    options: tuple[str, ...] = ()
    is_folder: bool = False

    def prepare(self, out: Path, source: Path, reporter: Reporter, *, overwrite: bool) -> None:
        """Lock the output, and check that it can be written.

        Raises:
            VtdlError: another process writes it.
            UsageError: it exists, is one of the inputs, or its folder is not writable.
        """
        if self.is_folder:
            lock_folder(out, reporter)
            check_hub_folder(out, overwrite=overwrite, source=source)
        else:
            lock_file(out, reporter)
            check_new_file(out, "--out", overwrite=overwrite, sources=[source])


KEEP_HEAD = f"To keep it, use --out model{SAFETENSORS}, or a folder"


def write_torch_file(converted: Converted, out: Path, _wanted: Wanted, reporter: Reporter) -> dict[str, Any]:
    """Write imported weights as a checkpoint, and of vtdl's own, which are in one, the bare backbone."""
    if not converted.report:
        _report_head_left_out(converted, out, reporter)
        return write_backbone(converted, out)
    save_checkpoint(out, converted.checkpoint)
    return {"stage": converted.checkpoint["stage"], "tensors": converted.tensors}


def _report_head_left_out(converted: Converted, out: Path, reporter: Reporter) -> None:
    if all(name.startswith(f"{BACKBONE}.") for name in converted.checkpoint["model"]):
        return
    head = "the classifier" if converted.checkpoint["stage"] == "finetune" else "the embedding head"
    reporter.line(f"'{out}' holds the backbone alone, for other code, without {head}. {KEEP_HEAD}")


def write_safetensors_file(converted: Converted, out: Path, _wanted: Wanted, _reporter: Reporter) -> dict[str, Any]:
    """Write a checkpoint as safetensors."""
    with atomic_write(out) as temporary:
        return write_checked(converted, temporary)


TORCH_FILE, FOLDER = Form(write_torch_file), Form(write_hub_folder, ("--license", "--results"), is_folder=True)
FORMS = {
    ".pt": TORCH_FILE,
    ".pth": TORCH_FILE,
    SAFETENSORS: Form(write_safetensors_file),
    ".onnx": Form(write_onnx, ("--frames",)),
    "": FOLDER,
}
"""How the name of --out ends -> the form; a folder that exists may have any name."""


def choose_form(out: Path, wanted: Wanted) -> Form:
    """Choose the form by the name of `out`.

    Raises:
        UsageError: the name ends in another way, or an option belongs to another form.
    """
    form = FOLDER if out.is_dir() else FORMS.get(out.suffix.lower())
    if form is None:
        raise UsageError(
            f"--out '{out}' does not end in {', '.join(filter(None, FORMS))}, and is not a folder. "
            "Choose one of these endings, or for a folder a name without a dot"
        )
    if extra := [option for option in wanted.options if option not in form.options]:
        raise UsageError(f"{extra[0]} has no effect on --out '{out}'. Leave it out")
    return form
