"""Checks of what reads videos: each decoder on the samples, and the time of the default one."""

import time

import numpy as np

from vtdl_cli.config import Data
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.motion import render_video, write_video
from vtdl_cli.data.video.samples import ESSENTIAL
from vtdl_cli.engine.doctor.examination import LIBRARY_OF, Examination, Finding, Verdict, import_error

OTHERWISE = "Use --set data.decoder=auto"
TIMED_CLIPS, TIMED_SCALE = 10, 8


def check_decoder(name: str, examination: Examination) -> Finding:
    """A decoder returns the correct frames of the samples; one in a preset's default has to."""
    is_default = Data().decoder == name
    if error := import_error(LIBRARY_OF.get(name, name)):
        if not is_default:
            return Finding("ok", "not installed, and not needed")
        return Finding("fail", f"cannot be imported: {error}", _remedy(name))
    reasons = examination.unread.get(name, {})
    readable = [sample for sample, reason in reasons.items() if not reason]
    if all(sample in readable for sample in ESSENTIAL if sample in reasons):
        unreadable = [sample for sample in reasons if sample not in readable]
        others = f"; not {', '.join(unreadable)}: use data.decoder=auto for those" if unreadable else ""
        return Finding("ok", f"reads {', '.join(readable)}{others}")
    sample = next(sample for sample in ESSENTIAL if reasons.get(sample))
    verdict: Verdict = "fail" if is_default or name == "pyav" else "warning"
    return Finding(verdict, f"cannot read {sample}: {reasons[sample]}", _remedy(name))


def _remedy(name: str) -> str:
    """Return what to do where a decoder fails: another one cannot help where PyAV, which is `auto` too, does."""
    return "Install PyAV anew: pip install --force-reinstall av" if LIBRARY_OF.get(name) == "av" else OTHERWISE


def check_decoding(examination: Examination) -> Finding:
    """Time the default decoder."""
    path = examination.scratch / "timed.mp4"
    write_video(path, render_video(0, np.random.default_rng(0)).repeat(TIMED_SCALE, 1).repeat(TIMED_SCALE, 2))
    began = time.perf_counter()
    for _ in range(TIMED_CLIPS):
        with open_video(path, Data().decoder) as reader:
            side = reader.read(range(0, reader.num_frames, 2)).shape[1]
    milliseconds = 1000 * (time.perf_counter() - began) / TIMED_CLIPS
    clip = f"every second of 32 frames of {side}x{side} pixels"
    return Finding("ok", f"{milliseconds:.0f} ms a clip ({clip}) with the decoder {Data().decoder}")
