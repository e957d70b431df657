"""What triplets a list gives, by the frame counts of its videos."""

from dataclasses import replace

import numpy as np

from vtdl_cli.data.clips.triplets import Starts, TripletSampler


def triplet_shares(sampler: TripletSampler, num_frames: np.ndarray, seed: int = 0) -> dict[str, float]:
    """What triplets a list's videos give, in percent, from one draw of each.

    Args:
        sampler: that draws them.
        num_frames: of the videos, (N,).
        seed: of the draws.

    Returns:
        `forced_start`: videos whose anchor can start in one place alone. `anchor_jumps`: anchors that leave their
        stride, most often from the end to the start. And where there are negatives `negative_jumps`: likewise.
        `moved_negative`: those that were too close as drawn. `overlap`: pairs whose intervals have frames in common.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for count in num_frames.tolist():
        starts = sampler.starts(count, generator)
        clips = sampler.indices(starts, count)
        anchor_jumps, _, *negative_jumps = (np.diff(clips) != sampler.stride).any(1).tolist()
        row = {"forced_start": sampler.num_starts(count) == 1, "anchor_jumps": anchor_jumps}
        if negative_jumps:
            together = _overlap(sampler, starts, count)
            row |= {"moved_negative": starts.moved, "negative_jumps": negative_jumps[0], "overlap": together}
        rows.append(row)
    return {name: round(100 * float(np.mean([row[name] for row in rows])), 1) for name in rows[0]}


def _overlap(sampler: TripletSampler, starts: Starts, num_frames: int) -> bool:
    """Whether the intervals have frames in common: plain where the starts are near, else looked for past the end."""
    extent = (sampler.clip_len - 1) * sampler.stride + 1
    if abs(starts.anchor - starts.negative) < extent:
        return True
    anchor, _, negative = replace(sampler, clip_len=extent, stride=1).indices(starts, num_frames)
    return not set(anchor.tolist()).isdisjoint(negative.tolist())


def out_of_reach(sampler: TripletSampler, num_frames: np.ndarray) -> dict[str, float]:
    """Percent of the videos that are too short for an option to do what it says.

    Args:
        sampler: whose options they are.
        num_frames: of the videos, (N,).

    Returns:
        `window`: videos shorter than that. And of what the rule goes by, `gap`: videos where no two starts lie that
        far apart, round the loop where they loop. `threshold`: likewise, so that every negative is moved.
    """
    seen = np.array([sampler.seen(count) for count in num_frames.tolist()])
    short = {"window": seen < sampler.room}
    if sampler.negative == "gap":
        short["gap"] = np.maximum(seen - sampler.room, seen // 2) < sampler.least_gap
    else:
        farthest = np.array([sampler.num_starts(count) - 1 for count in num_frames.tolist()])
        short["threshold"] = farthest < sampler.threshold
    return {name: 100 * float(videos.mean()) for name, videos in short.items()}
