"""Videos that are shorter than a clip: what becomes of them, and the warning."""

from collections.abc import Sequence

from vtdl_cli.data.clips.windows import WindowRule
from vtdl_cli.runtime import Reporter

CONTINUED = {
    "loop": "played in a loop",
    "restart": "played again from the start",
    "sort": "filled with repeated frames",
}
"""What becomes of a video that is shorter than a clip, by data.short_videos."""


def warn_of_short(short: Sequence[str], num_videos: int, rule: WindowRule, reporter: Reporter) -> None:
    """Warn of videos that are shorter than a clip, if there are any.

    Args:
        short: their names.
        num_videos: of which they are some.
        rule: of the clips.
        reporter: receives the warning.
    """
    if not short:
        return
    which = f"video '{short[0]}' is"
    if len(short) > 1:
        which = f"{len(short)} of {num_videos} videos, the first '{short[0]}', are"
    reporter.warn(f"{which} shorter than a clip of {rule.extent} frames, and {CONTINUED[rule.short_videos]}")
