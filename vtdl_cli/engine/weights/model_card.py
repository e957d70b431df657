"""The model card of a hub's folder: Markdown with a YAML header, as hubs of models show it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from vtdl_cli.engine.networks.hub_folder import LIBRARY, MODEL_FILE
from vtdl_cli.engine.report.run import Run, list_provenance, list_settings
from vtdl_cli.engine.weights.converted import Converted
from vtdl_cli.metrics import ACCURACIES
from vtdl_cli.text import printable

TASKS = {"finetune": "video-classification", "pretrain": "feature-extraction"}
"""Stage -> the hub's name of what a network is for."""

COLUMNS = {
    "protocol": "protocol", "num_videos": "videos",
    **{name: f"{accuracy.title} %" for name, accuracy in ACCURACIES.items()},
    "knn_top1": "kNN top-1 %", "selected_on_this_list": "chosen on these videos", "list_sha256": "list sha256",
}  # fmt: skip
"""Entries of what was measured, and their columns."""

NO_ACCURACY = "Not measured. `vtdl evaluate` measures it, and `vtdl convert --results DIR` writes it here."


def format_card(converted: Converted, name: str, description: Mapping[str, Any], measured: list[dict[str, Any]]) -> str:
    """Return the text of README.md.

    Args:
        converted: the weights.
        name: of the folder, the title.
        description: content of config.json.
        measured: accuracies, see `measured.find_measured`.
    """
    _, source = converted.trained
    run = Run(converted.path, source.config, checkpoint=converted.checkpoint, weights=converted.path.name)
    run.sha256 = converted.sha256
    stage = description["stage"]
    header = {"license": description["license"], "library_name": LIBRARY, "pipeline_tag": TASKS[stage]}
    header["tags"] = ["video", "action-recognition", "self-supervised-learning"]
    provenance = (pair for pair in list_provenance(run) if pair[0] != "run folder")
    text = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {_cell(name)}",
        _introduce(description),
        "## Use",
        _format_use(stage),
        "## Data",
        _format_data(description),
        "## Recipe",
        _format_table(("setting", "value"), list_settings(run)),
        "All settings are in `config.json` under `preset`.",
        "## Accuracy",
        _format_measured(measured) if measured else NO_ACCURACY,
        "## Provenance",
        _format_table(("", ""), provenance),
        f"SHA-256 of `{MODEL_FILE}`: `{description['sha256']}`. vtdl refuses a file with another.",
    ]
    return "\n\n".join(text) + "\n"


def _introduce(description: Mapping[str, Any]) -> str:
    depth = f"-{description['depth']}" if description["depth"] else ""
    network = f"{description['backbone']}{depth} of width {description['width']}"
    if description["stage"] == "finetune":
        return f"This {network} classifies video clips into {len(description['classes'])} classes."
    return (
        f"This {network} was pretrained on video without labels. It gives {description['feature_dim']} features a clip."
    )


def _format_use(stage: str) -> str:
    lines = ["vtdl extract --weights FOLDER --list LIST --root VIDEOS --out features.h5"]
    if stage == "finetune":
        lines = [
            "vtdl predict --weights FOLDER VIDEO",
            "vtdl evaluate --weights FOLDER --list LIST --root VIDEOS --out results",
            *lines,
        ]
    return "\n".join(["```", *lines, "```"])


def _format_data(description: Mapping[str, Any]) -> str:
    classes = ", ".join(map(_cell, description["classes"])) or "none"
    rate = f"{description['frame_rate']} frames a second" if description["frame_rate"] else "the video's frame rate"
    pairs = [
        ("training list sha256", description["list_sha256"] or "not recorded"),
        ("classes", classes),
        ("clip", f"{description['clip_len_frames']} frames, stride {description['stride_frames']}, at {rate}"),
        ("frames", f"{description['modality']}, short side {description['short_side']} pixels, centre crop "
                   f"{description['crop_size']}"),
        ("mean, deviation", f"{description['mean']}, {description['std']}, of values from 0 to 1"),
    ]  # fmt: skip
    return _format_table(("", ""), pairs)


def _format_measured(measured: list[dict[str, Any]]) -> str:
    shown = {name: title for name, title in COLUMNS.items() if any(name in row for row in measured)}
    rows = ([_format_value(row, name) for name in shown] for row in measured)
    return _format_table(tuple(shown.values()), rows)


def _format_value(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if name == "selected_on_this_list" and name in row:
        return "unknown" if value is None else "yes: optimistic" if value else "no"
    if isinstance(value, float):
        interval = row.get("intervals", {}).get(name)
        return f"{value:.1f}" + (f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else "")
    return "" if value is None else str(value)


def _format_table(titles: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(_table_lines(titles, rows))


def _table_lines(titles: tuple[str, ...], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    for cells in (titles, ["---"] * len(titles), *rows):
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return text from outside on one line, without what Markdown would take for a table or a tag."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")
