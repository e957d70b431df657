"""What is examined, what a check finds, and what several checks share."""

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from vtdl_cli.data.video.decoding import installed_decoders
from vtdl_cli.data.video.samples import read_sample, write_samples
from vtdl_cli.engine.lists.process_pool import map_unordered
from vtdl_cli.runtime import SilentReporter

Verdict = Literal["ok", "warning", "fail"]

LIBRARY_OF = {"auto": "av", "pyav": "av", "torchcodec": "torchcodec.decoders"}
"""Decoder -> the library it imports, if that has another name."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: `fail` if a run would fail, `warning` if it would be slow or limited.
        found: in one sentence without a full stop.
        next_step: what to do about it; '' if nothing.
    """

    verdict: Verdict
    found: str
    next_step: str = ""


@dataclass
class Examination:
    """What is examined, and what several checks share.

    Attributes:
        device: as `--device`.
        folder: where outputs will be written.
        scratch: a temporary folder.
    """

    device: str
    folder: Path
    scratch: Path

    @cached_property
    def unread(self) -> dict[str, dict[str, str]]:
        """By decoder, and by sample: why it cannot be read, or ''. A worker reads it, since decoders may crash."""
        files = write_samples(self.scratch)
        tasks = [(decoder, name) for decoder in installed_decoders() for name in files]
        items = enumerate((decoder, files[name]) for decoder, name in tasks)
        unread: dict[str, dict[str, str]] = {}
        for number, reason in map_unordered(read_sample, items, workers=1):
            decoder, name = tasks[number]
            unread.setdefault(decoder, {})[name] = reason
        return unread


def import_error(library: str) -> str:
    """Return why a library cannot be imported, or ''."""
    try:
        importlib.import_module(library)
    except Exception as error:  # beside ImportError: RuntimeError and OSError if shared libraries are missing
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


class CollectingReporter(SilentReporter):
    """Keeps warnings, and prints nothing."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.texts.append(text)
