"""One page of HTML about a run: what its folder and its evaluations hold, and what is missing."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vtdl_cli import __version__
from vtdl_cli.analysis.report.content import Evaluation, Remark, Report, Retrieval
from vtdl_cli.analysis.report.page import render_page
from vtdl_cli.engine.report.evaluations import find_evaluations, list_origins, list_skipped, read_retrieval
from vtdl_cli.engine.report.run import Run, list_provenance, list_settings, read_run, summarise_run
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file

REPORT_FILE = "report.html"
SELECTION_REMARKS = {
    True: "the weights were chosen on these videos: this accuracy is optimistic. Evaluate on others, or last.pt.",
    None: "it is unknown whether the weights were chosen on these videos.",
}
"""By `selected_on_this_list` of metrics.json."""

NO_RETRIEVAL = Remark(
    "No retrieval. It compares the features of two lists (vtdl extract); "
    "add its output with --retrieval retrieval.json.",
    "vtdl retrieve --gallery train.h5 --query val.h5 --json > retrieval.json",
)


@releasing_locks
def report(
    path: Path,
    reporter: Reporter,
    *,
    out: Path | None = None,
    results: Sequence[Path] = (),
    retrievals: Sequence[Path] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a page about a run.

    Args:
        path: run folder of `vtdl pretrain` or `vtdl finetune`.
        reporter: warns of what is left out.
        out: the page; none: report.html in the run's folder.
        results: folders of `vtdl evaluate`, or folders above them; none: all below the run's.
        retrievals: JSON or PNG files of `vtdl retrieve`.
        overwrite: replace an existing page.

    Returns:
        Path, size and content of the page.

    Raises:
        UsageError: `path`, `results` or `retrievals` is something else, or the page exists.
    """
    out = out or path / REPORT_FILE
    run = read_run(path)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, ending=".html")
    given = [read_retrieval(file) for file in retrievals]
    page = assemble_report(run, find_evaluations(path, results, reporter), given)
    content = render_page(page).encode()
    with atomic_write(out) as temporary:
        temporary.write_bytes(content)
    return {
        "out": str(out),
        "kilobytes": -(-len(content) // 1024),
        "epochs": len(page.epochs),
        "results": [each.name for each in page.evaluations],
        "samples": sum(example.frame is not None for each in page.evaluations for example in each.examples),
    }


def assemble_report(run: Run, evaluations: Sequence[Evaluation], retrievals: Sequence[Retrieval]) -> Report:
    """Put together everything on the page."""
    remarks = {**run.remarks, "accuracy": list(_remark_on_accuracy(run, evaluations))}
    if not retrievals:
        remarks["retrieval"] = [NO_RETRIEVAL]
    skipped = [("training", *video) for video in run.checkpoint.get("bad_videos", {}).values()]
    return Report(
        name=run.path.resolve().name,
        summary=summarise_run(run),
        settings=list_settings(run),
        configuration=run.configuration,
        epochs=run.epochs,
        evaluations=evaluations,
        retrievals=retrievals,
        skipped=[*skipped, *list_skipped(evaluations)] if run.checkpoint or evaluations else None,
        provenance=[*list_provenance(run), *list_origins(evaluations), ("page", f"by vtdl {__version__}")],
        remarks=remarks,
    )


def _remark_on_accuracy(run: Run, evaluations: Sequence[Evaluation]) -> Iterator[Remark]:
    folder = shlex.quote(str(run.path))
    if not evaluations and run.stage == "pretrain":
        yield Remark(
            "No accuracies: a network pretrained without labels has no classifier. First finetune it, then evaluate.",
            f"vtdl finetune --preset {folder}/config.yaml --weights {folder} --train-list lists/train_split_1.txt "
            "--val-list lists/val_split_1.txt --root videos --out runs/finetuned",
        )
    elif not evaluations:
        yield Remark(
            "No accuracies yet. Evaluate into the run's folder, then write this page again, with --overwrite.",
            f"vtdl evaluate --weights {folder} --list lists/test_split_1.txt --root videos --out {folder}/results",
        )
    for each in evaluations:
        if text := SELECTION_REMARKS.get(each.metrics.get("selected_on_this_list", False)):
            yield Remark(f"{each.name}: {text}")
        measured = each.metrics.get("weights_sha256")
        if measured and run.sha256 and measured != run.sha256:
            yield Remark(f"{each.name} was measured with other weights than the run now holds: sha256 {measured}.")
