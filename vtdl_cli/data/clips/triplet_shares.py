"""Statistics of the triplets that a list yields, from the frame counts of its videos."""

from collections.abc import Sequence

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
    columns = _describe(sampler, [sampler.starts(count, generator) for count in num_frames.tolist()], num_frames)
    means = {name: _mean(column.astype(float)) for name, column in columns.items()}
    return {name: round(mean if name == STRIDE else 100 * mean, 1) for name, mean in means.items()}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _describe(sampler: TripletSampler, starts: Sequence[Starts], num_frames: np.ndarray) -> dict[str, np.ndarray]:
    """Return what `triplet_shares` averages, (N,) each; NaN where it does not apply to a triplet."""
    usable = np.array([[sampler.usable_frames(count)] for count in num_frames.tolist()])  # (N, 1), as these:
    anchor, negative = (np.array(column)[:, None] for column in list(zip(*starts, strict=True))[:2])
    stride = np.array([[each.stride or sampler.stride] for each in starts])
    columns = {
        STRIDE: stride[:, 0],
        "forced_start": np.array([sampler.num_starts(count) == 1 for count in num_frames.tolist()]),
        "anchor_jumps": _jumps(sampler, anchor, usable, stride),
    }
    if not sampler.intra_video_negative:
        return columns
    is_masked = sampler.rule.shrinks & (anchor == negative)[:, 0]
    shared = np.where(is_masked, np.nan, _shared_frames(sampler, anchor, negative, usable, stride))
    return columns | {
        "moved_negative": np.array([each.moved for each in starts]),
        "negative_jumps": _jumps(sampler, negative, usable, stride),
        "no_negative": is_masked,
        "overlap": np.where(is_masked, np.nan, shared > 0),
        "shared_frames": shared,
    }


def _jumps(sampler: TripletSampler, start: np.ndarray, usable: np.ndarray, stride: np.ndarray) -> np.ndarray:
    """Return whether the stride of a clip is broken, bool (N,); arguments (N, 1)."""
    clips = SHORT_VIDEOS[sampler.short_videos](start, usable, sampler.clip_len, stride)
    jumps: np.ndarray = (np.diff(clips, axis=1) != stride).any(1)
    return jumps


def _shared_frames(
    sampler: TripletSampler, anchor: np.ndarray, negative: np.ndarray, usable: np.ndarray, stride: np.ndarray
) -> np.ndarray:
    """Return the intersection over union of the frames that two clips cover, (N,); arguments (N, 1)."""
    cover, shared = SHORT_VIDEOS[sampler.short_videos], np.empty(len(anchor))
    for each in np.unique(stride):
        rows = stride[:, 0] == each
        covered = [cover(start[rows], usable[rows], sampler.extent(int(each)), 1) for start in (anchor, negative)]
        union = _count_distinct(np.hstack(covered))
        shared[rows] = (_count_distinct(covered[0]) + _count_distinct(covered[1]) - union) / union
    return shared


def _count_distinct(frames: np.ndarray) -> np.ndarray:
    """Count the different values of each row."""
    number: np.ndarray = 1 + (np.diff(np.sort(frames), axis=1) != 0).sum(1)
    return number


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
