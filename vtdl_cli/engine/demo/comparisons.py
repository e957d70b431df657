"""What a demo compares: its rows, seeds and measures, and the pairs of rows whose order it tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.ablation.rows import Row, read_rows
from vtdl_cli.engine.ablation.statistics import Pair
from vtdl_cli.engine.request import protocol_name

LABELLED_PER_CLASS = 1
PROBE_DRAWS = 20  # of labels for the linear probe, which takes a tenth of a second each
MOST_CLIPS = 10


@dataclass(frozen=True)
class Comparison:
    """A demo.

    Attributes:
        rows: the rows.
        num_seeds: each has its own videos.
        measures: what is measured of every network.
        columns: the metrics of the table, and their titles.
        tested: those of them that the verdict is about.
        pairs: of rows, the better one first if the method does what it claims.
        unit: what values are repeated over, and paired by.
    """

    rows: Sequence[Row]
    num_seeds: int
    measures: Measures
    columns: Mapping[str, str]
    tested: Sequence[str]
    pairs: Sequence[Pair]
    unit: Literal["draw", "seed"]

    @property
    def number(self) -> int:
        """How many values of the tested metrics there are."""
        return self.num_seeds if self.unit == "seed" else self.measures.finetune_draws

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        return [row.name for row in self.rows]

    @property
    def shown(self) -> str:
        """The row whose pretraining is shown in figures, and used by the commands to type next: the whole method."""
        return self.pairs[-1][0]


def _finetuned(clips: int) -> str:
    """Return the name of the metric."""
    return f"few_shot_finetuned_{protocol_name(clips)}"


_FROZEN = {"knn@1": "kNN, all labels", "few_shot_linear_top1": "few-shot linear probe"}
_SCRATCH, _EQUAL_TIME = read_rows("scratch,scratch-equal-time")

DRAWS = Comparison(
    rows=(_SCRATCH, replace(_EQUAL_TIME, as_long_as="pretrained"), Row("pretrained")),
    num_seeds=1,
    measures=Measures(LABELLED_PER_CLASS, PROBE_DRAWS, finetune_draws=6, clips=(1, MOST_CLIPS)),
    columns={**_FROZEN, _finetuned(1): "finetuned, 1 clip", _finetuned(MOST_CLIPS): f"finetuned, {MOST_CLIPS} clips"},
    tested=(_finetuned(MOST_CLIPS),),
    pairs=(("pretrained", "scratch-equal-time"),),
    unit="draw",
)
"""Pretraining against training from scratch, over draws of labels."""

STEPS = Comparison(
    rows=read_rows("scratch,scratch-equal-time,moco,moco-equal-time,intra-video-negative,tca"),
    num_seeds=5,
    measures=Measures(LABELLED_PER_CLASS, PROBE_DRAWS, finetune_draws=1, clips=(MOST_CLIPS,)),
    columns={**_FROZEN, _finetuned(MOST_CLIPS): f"finetuned, {MOST_CLIPS} clips"},
    tested=("few_shot_linear_top1", _finetuned(MOST_CLIPS)),
    pairs=(
        ("moco", "scratch"),
        ("intra-video-negative", "moco"),
        ("tca", "intra-video-negative"),
        ("tca", "moco-equal-time"),
        ("tca", "scratch-equal-time"),
    ),
    unit="seed",
)
"""Every step from scratch to the whole method, over seeds: more seeds tell more in the same time than more draws."""
