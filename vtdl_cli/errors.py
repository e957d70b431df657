"""Every failure a user can cause or meet, and its exit code.

VtdlError                 1   the run failed
├── UsageError            2   what was typed cannot be right
│   ├── ConfigError       2   a preset or --set is wrong; one line for each mistake
│   └── DamagedFile       2   an input is not as it was written
├── ListError             1   a list cannot be read, or does not fit
├── UnreadableVideo       1   one video cannot be decoded: skipped and counted by those who read many
├── CheckpointError       1   weights cannot be read, or do not fit
└── Interrupted          75   a signal stopped the run after it had saved

A message reads `<what> '<value>' <which rule it breaks>. <what to type next>`, without a leading "error:": the
command line adds that to each line. A name in a message may hold a line break, so lines are given apart.
"""


class VtdlError(Exception):
    """The run failed; the message is shown to the user as it stands.

    Args:
        lines: one for each mistake.
    """

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """Of the message."""
        return self.args

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UsageError(VtdlError):
    """What was typed cannot be right: nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """A preset or `--set` is wrong; the message has one line for each mistake."""


class DamagedFile(UsageError):
    """An input is not as it was written: cut short, or with other content than its checksums say."""


class ListError(VtdlError):
    """A list of videos cannot be read, or does not fit its use."""


class UnreadableVideo(VtdlError):
    """One video cannot be decoded.

    Args:
        path: the file or the folder of frames.
        reason: why, in a few words, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that the exception survives pickling between processes
        self.path, self.reason = path, reason

    @property
    def lines(self) -> tuple[str, ...]:
        """Of the message."""
        return (f"video '{self.path}' cannot be read: {self.reason}",)


class CheckpointError(VtdlError):
    """Weights cannot be read, or do not fit the network."""


class Interrupted(VtdlError):
    """A signal stopped the run after it had saved what it had."""

    exit_code = 75
