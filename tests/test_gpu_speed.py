"""The table and the plan of `python -m tests.gpu_speed`; what it measures needs a GPU."""

from tests.gpu_speed import BACKBONES, plan, table


def test_plan__compares_all_backbones_first() -> None:
    """Oracle: by hand: off and on of each; no row comes twice."""
    rows = [(each.backbone, each.name) for each in plan()]
    assert rows[:8] == [(backbone, name) for backbone in BACKBONES for name in ("off", "on")]
    assert len(set(rows)) == len(rows)


def test_table__of_a_measurement_and_of_one_that_failed() -> None:
    """Oracle: by hand."""
    measured = {
        "times": {"ready batch": {"ms": 100.0}, "together": {"ms": 200.0}},
        "clips_per_second": {"ready_batch": 480.0, "together": 240.0},
        "share_of_peak": 0.125,
    }
    lines = table(
        [
            {"backbone": "i3d", "measured": "on", **measured},
            {"backbone": "i3d", "measured": "off", "failed": ["stopped"]},
        ]
    ).splitlines()
    assert lines[1].split() == ["i3d", "on", "100.0", "480.0", "12.5", "200.0", "240.0", "0.0"]
    assert lines[2].split() == ["i3d", "off", "stopped"]
