"""The table of `vtdl demo`, without a demo."""

from io import StringIO

import pytest
from rich.console import Console

from vtdl_cli.commands.demo import _table
from vtdl_cli.engine.demo.comparisons import DRAWS, STEPS, Comparison


@pytest.mark.parametrize("comparison", [DRAWS, STEPS])
def test_table__fits_80_columns(comparison: Comparison) -> None:
    """With intervals as wide as two digits and one after the point allow, in every cell."""
    widest = {"mean": 76.8, "interval": [6.3, 147.3]}
    result = {
        "rows": comparison.names,
        "titles": comparison.columns,
        "estimates": {metric: dict.fromkeys(comparison.names, widest) for metric in comparison.columns},
        "training_seconds": dict.fromkeys(comparison.names, 9999.0),
        "labelled_videos": 16,
        "pretraining_videos": 512,
        "test_videos": 160,
        "seeds": comparison.num_seeds,
        "finetuned_draws": comparison.measures.finetune_draws,
        "probe_draws": 20,
    }
    written = StringIO()
    Console(file=written, width=80, soft_wrap=True).print(_table(result))
    _title, *lines = written.getvalue().splitlines()
    assert [line.split()[0] for line in lines[-len(comparison.names) :]] == comparison.names
    assert written.getvalue().count("76.8 ± 70.5") == len(comparison.names) * len(comparison.columns)
    assert max(map(len, lines)) <= 80
