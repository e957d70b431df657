"""All errors that are shown to the user, with their exit codes.

VtdlError                 1   the run failed
├── UsageError            2   the command line is invalid
│   ├── ConfigError       2   a preset or --set is invalid; one line for each error
│   └── DamagedFile       2   an input file is damaged
├── ListError             1   a list cannot be read, or cannot be used here
├── UnreadableVideo       1   a video cannot be decoded; commands that read many skip and count it
├── CheckpointError       1   weights cannot be read, or do not fit
├── PartFailed                a part of an ablation failed; its exit code is that of its cause
└── Interrupted          75   a signal stopped the run after it saved its state, if it had come to any

A message reads `<what> '<value>' <which rule it breaks>. <what to type next>`, without a leading "error:": the
command line adds that to each line. Lines are passed separately, because a name in a message may contain a line break.
"""


class VtdlError(Exception):
    """The run failed; the message is shown to the user unchanged.

    Args:
        lines: the lines of the message, one for each error.
    """

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        return self.args

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UsageError(VtdlError):
    """The command line is invalid; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """A preset or `--set` is invalid; the message has one line for each error."""


class DamagedFile(UsageError):
    """An input file is damaged: truncated, or its content does not match its checksums."""


class ListError(VtdlError):
    """A list of videos cannot be read, or cannot be used here."""


class UnreadableVideo(VtdlError):
    """A video cannot be decoded.

    Args:
        path: the file or folder of frames.
        reason: why not, in a few words, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that the exception survives pickling between processes
        self.path, self.reason = path, reason

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        return (f"video '{self.path}' cannot be read: {self.reason}",)


class CheckpointError(VtdlError):
    """Weights cannot be read, or do not fit the network."""


class PartFailed(VtdlError):
    """A part of an ablation failed; `__cause__` is why.

    Args:
        part: names it.
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        reasons = self.__cause__.lines if isinstance(self.__cause__, VtdlError) else (str(self.__cause__),)
        return tuple(f"{self.part}: {reason}" for reason in reasons)


class Interrupted(VtdlError):
    """A signal stopped the run after it saved its state; before its first step there is none to save, or to lose."""

    exit_code = 75
