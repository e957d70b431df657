"""Statistics of the triplets that a list yields, from the frame counts of its videos."""

from dataclasses import replace

import numpy as np

from vtdl_cli.data.clips.triplets import Starts, TripletSampler


def triplet_shares(sampler: TripletSampler, num_frames: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Compute statistics of a list's triplets, in percent, from one draw per video.

    Args:
        sampler: draws the triplets.
        num_frames: of the videos, (N,).
        seed: of the draws.

    Returns:
        `forced_start`: videos whose anchor can start at one frame only. `anchor_jumps`: anchors whose stride is broken,
        most often from the end to the beginning. With negatives also `negative_jumps`: the same for them;
        `moved_negative`: negatives drawn too close and moved; `overlap`: negatives that share frames with the anchor.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for count in num_frames.tolist():
        starts = sampler.starts(count, generator)
        clips = sampler.indices(starts, count)
        anchor_jumps, _, *negative_jumps = (np.diff(clips) != sampler.stride).any(1).tolist()
        row = {"forced_start": sampler.num_starts(count) == 1, "anchor_jumps": anchor_jumps}
        if negative_jumps:
            overlap = _overlap(sampler, starts, count)
            row |= {"moved_negative": starts.moved, "negative_jumps": negative_jumps[0], "overlap": overlap}
        rows.append(row)
    return {name: round(100 * float(np.mean([row[name] for row in rows])), 1) for name in rows[0]}


def _overlap(sampler: TripletSampler, starts: Starts, num_frames: int) -> bool:
    """Whether the intervals share frames: by the distance of the starts, else, past the end, by their frames."""
    extent = (sampler.clip_len - 1) * sampler.stride + 1
    if abs(starts.anchor - starts.negative) < extent:
        return True
    anchor, _, negative = replace(sampler, clip_len=extent, stride=1).indices(starts, num_frames)
    return not set(anchor.tolist()).isdisjoint(negative.tolist())


def out_of_reach(sampler: TripletSampler, num_frames: np.ndarray) -> dict[str, float]:
    """Compute the percentage of videos that are too short for an option of the sampler to hold.

    Args:
        sampler: the sampler.
        num_frames: of the videos, (N,).

    Returns:
        `window`: videos shorter than the window. By the sampler's rule, also `gap`: videos where no two starts are that
        far apart, counted round the loop; or `threshold`: videos where every negative is moved.
    """
    usable = np.array([sampler.usable_frames(count) for count in num_frames.tolist()])
    short = {"window": usable < sampler.room}
    if sampler.negative == "gap":
        short["gap"] = np.maximum(usable - sampler.room, usable // 2) < sampler.min_gap
    else:
        farthest = np.array([sampler.num_starts(count) - 1 for count in num_frames.tolist()])
        short["threshold"] = farthest < sampler.threshold
    return {name: 100 * float(videos.mean()) for name, videos in short.items()}
