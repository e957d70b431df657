"""Statistics of the triplets that a list yields, from the frame counts of its videos."""

from collections.abc import Mapping

import numpy as np

from vtdl_cli.data.clips.sampling import SHORT_VIDEOS
from vtdl_cli.data.clips.triplets import OURS, Starts, TripletSampler

STRIDE = "mean_stride"


def compare_rules(sampler: TripletSampler, num_frames: np.ndarray, seed: int = 0) -> dict[str, dict[str, float]]:
    """Compute `triplet_shares` of the sampler and, if it has negatives, of our other rules and of the authors'.

    Theirs is what their code does (`data/dataset.py:71-105, 236-267`). Clips have the same length and stride by all.

    Args:
        sampler: the one that is used; comes first, under the name of its rule.
        num_frames: of the videos, (N,).
        seed: of the draws.
    """
    rules = {sampler.negative: sampler}
    if sampler.intra_video_negative:
        clip = sampler.clip_len, sampler.stride
        rules |= {name: TripletSampler(*clip, name) for name in OURS if name not in rules}
        rules["authors"] = TripletSampler(*clip, "shift", window=128, short_videos="restart")
    return {name: triplet_shares(each, num_frames, seed) for name, each in rules.items()}


def triplet_shares(sampler: TripletSampler, num_frames: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Compute statistics of a list's triplets, in percent except for the stride, from one draw per video.

    Args:
        sampler: draws the triplets.
        num_frames: of the videos, (N,).
        seed: of the draws.

    Returns:
        `mean_stride`: of the clips, in frames. `forced_start`: videos whose anchor can start at one frame only.
        `anchor_jumps`: anchors whose stride is broken, most often from the end to the beginning. With negatives also
        `negative_jumps`: the same for them; `moved_negative`: negatives drawn too close and moved; `no_negative`:
        triplets without one, as it would show the anchor's frames; and of the other triplets `overlap`: negatives that
        share frames with the anchor, and `shared_frames`: the frames that both cover, of those that either covers
        (intersection over union).
    """
    generator = np.random.default_rng(seed)
    rows = [_describe(sampler, sampler.starts(count, generator), count) for count in num_frames.tolist()]
    means = {name: _mean(np.array([row[name] for row in rows], float)) for name in rows[0]}
    return {name: round(mean if name == STRIDE else 100 * mean, 1) for name, mean in means.items()}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _describe(sampler: TripletSampler, starts: Starts, num_frames: int) -> Mapping[str, float]:
    """Return what `triplet_shares` averages; NaN where it does not apply to this triplet."""
    stride = starts.stride or sampler.stride
    anchor, _, *negative = sampler.indices(starts, num_frames)
    row: dict[str, float] = {
        STRIDE: stride,
        "forced_start": sampler.num_starts(num_frames) == 1,
        "anchor_jumps": _jumps(anchor, stride),
    }
    if not negative:
        return row
    is_masked = sampler.rule.shrinks and starts.anchor == starts.negative
    shared = np.nan if is_masked else _shared_frames(sampler, starts, num_frames)
    return row | {
        "moved_negative": starts.moved,
        "negative_jumps": _jumps(negative[0], stride),
        "no_negative": is_masked,
        "overlap": np.nan if is_masked else shared > 0,
        "shared_frames": shared,
    }


def _jumps(clip: np.ndarray, stride: int) -> bool:
    return bool((np.diff(clip) != stride).any())


def _shared_frames(sampler: TripletSampler, starts: Starts, num_frames: int) -> float:
    """Return the intersection over union of the frames that two clips cover."""
    extent = sampler.extent(starts.stride or sampler.stride)
    cover, usable = SHORT_VIDEOS[sampler.short_videos], sampler.usable_frames(num_frames)
    anchor, negative = (set(cover(start, usable, extent, 1).tolist()) for start in starts[:2])
    return len(anchor & negative) / len(anchor | negative)


def out_of_reach(sampler: TripletSampler, num_frames: np.ndarray) -> dict[str, float]:
    """Compute the percentage of videos that are too short for an option of the sampler to hold.

    Args:
        sampler: the sampler.
        num_frames: of the videos, (N,).

    Returns:
        `window`: videos shorter than the window, if the rule has one. By the sampler's rule, also `gap`: videos where
        no two starts are that far apart, counted round the loop by the rule `gap`; or `threshold`: videos where every
        negative is moved.
    """
    usable = np.array([sampler.usable_frames(count) for count in num_frames.tolist()])
    if sampler.rule.shrinks:
        return {"gap": 100 * float((usable - sampler.extent(1) < sampler.gap_at(1)).mean())}
    short = {"window": usable < sampler.room}
    if sampler.negative == "gap":
        short["gap"] = np.maximum(usable - sampler.room, usable // 2) < sampler.min_gap
    else:
        farthest = np.array([sampler.num_starts(count) - 1 for count in num_frames.tolist()])
        short["threshold"] = farthest < sampler.threshold
    return {name: 100 * float(videos.mean()) for name, videos in short.items()}
