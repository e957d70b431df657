"""One page of HTML about a run, to keep beside it or to attach to a mail."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vtdl_cli import __version__
from vtdl_cli.analysis.report.content import Note, Report, Result, Retrieval
from vtdl_cli.analysis.report.page import render
from vtdl_cli.engine.report.results import find_results, read_retrieval, result_provenance, skipped_by
from vtdl_cli.engine.report.run import Run, main_settings, provenance, read_run, summarise
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file

REPORT_FILE = "report.html"
SELECTED = {
    True: "the weights were chosen on these videos: this accuracy is optimistic. Evaluate on others, or last.pt.",
    None: "the weights do not say whether they were chosen on these videos.",
}
"""What is to be said of an accuracy, by `selected_on_this_list` of its metrics.json."""

NO_RETRIEVAL = Note(
    "No retrieval. It goes by the features of two lists (vtdl extract), and comes onto this page by --retrieval FILE.",
    "vtdl retrieve --gallery train.h5 --query val.h5 --json > retrieval.json",
)


def report(
    run: Path,
    reporter: Reporter,
    *,
    out: Path | None = None,
    results: Sequence[Path] = (),
    retrievals: Sequence[Path] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a page about a run.

    Args:
        run: folder of `vtdl pretrain` or `vtdl finetune`.
        reporter: is told of what is left out.
        out: the page; none: report.html in the run's folder.
        results: folders of `vtdl evaluate`, or folders above them; none: all below the run's.
        retrievals: JSON or PNG files of `vtdl retrieve`.
        overwrite: replace a page that is there.

    Returns:
        Where the page is, its size, and what it shows.

    Raises:
        UsageError: `run`, `results` or `retrievals` is nothing of the kind, or the page exists.
    """
    out = out or run / REPORT_FILE
    found = read_run(run)
    check_new_file(out, "--out", overwrite=overwrite)
    given = [read_retrieval(path) for path in retrievals]
    page = gather(found, find_results(run, results, reporter), given)
    content = render(page).encode()
    with atomic_write(out) as temporary:
        temporary.write_bytes(content)
    return {
        "out": str(out),
        "kilobytes": -(-len(content) // 1024),
        "epochs": len(page.rows),
        "results": [result.name for result in page.results],
        "samples": sum(sample.frame is not None for result in page.results for sample in result.samples),
    }


def gather(run: Run, results: Sequence[Result], retrievals: Sequence[Retrieval]) -> Report:
    """Everything that the page says."""
    notes = {**run.notes, "accuracy": list(_notes_on_accuracy(run, results))}
    if not retrievals:
        notes["retrieval"] = [NO_RETRIEVAL]
    skipped = [("training", *video) for video in run.checkpoint.get("bad_videos", {}).values()]
    return Report(
        name=run.path.resolve().name,
        summary=summarise(run),
        settings=main_settings(run),
        configuration=run.configuration,
        rows=run.rows,
        results=results,
        retrievals=retrievals,
        skipped=[*skipped, *skipped_by(results)] if run.checkpoint or results else None,
        provenance=[*provenance(run), *result_provenance(results), ("page", f"by vtdl {__version__}")],
        notes=notes,
    )


def _notes_on_accuracy(run: Run, results: Sequence[Result]) -> Iterator[Note]:
    folder = shlex.quote(str(run.path))
    if not results and run.stage == "pretrain":
        text = "No accuracies: a network pretrained without labels has no classifier. First finetune it, then evaluate."
        yield Note(text, f"vtdl finetune --weights {folder} --preset NAME --train-list LIST --val-list LIST --out RUN")
    elif not results:
        yield Note(
            "No accuracies yet. Evaluate into the run's folder, and make this page anew.",
            f"vtdl evaluate --weights {folder} --list LIST --root FOLDER --out {folder}/results",
        )
    for result in results:
        if note := SELECTED.get(result.metrics.get("selected_on_this_list", False)):
            yield Note(f"{result.name}: {note}")
        theirs, ours = result.metrics.get("weights_sha256"), run.weights[1]
        if ours and theirs and theirs != ours:
            yield Note(f"{result.name} was measured with other weights than the run holds now: sha256 {theirs}.")
