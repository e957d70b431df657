"""Files that are damaged: refused in a line, or read as if they were whole because the damage hit nothing that is read."""

import random
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.command import Shot
from tests.campaign.content import read_numbers, read_results
from tests.campaign.stage import EXTRACT, OUT, PRETRAIN, QUIET, TOY, Stage, succeed
from tests.campaign.trial import Trial
from tests.toy import differences, files_in

BLOCK_BYTES = 4096  # of a disk: what is lost of a file is often one of these
SIGN_BIT = 0x80  # of a float32's last byte


@dataclass(frozen=True)
class Reader:
    """A command that reads a file which may be damaged.

    Attributes:
        line: what is typed.
        victim: the file, below the folder of the trial.
        share: how often it is tried.
        setting: what has to be there: copies of which inputs, and where below the folder of the trial.
        reads: what it printed and wrote, by its output and stdout.
    """

    line: tuple[str, ...]
    victim: str
    share: int
    setting: tuple[tuple[str, str], ...]
    reads: Callable[[Path, str], dict[str, Any]] = read_results


_WEIGHTS = Path("weights.pt")
_FINETUNED = (("finetuned/checkpoints/best.pt", "weights.pt"),)
_PRETRAINED = (("pretrained/checkpoints/last.pt", "weights.pt"),)
_FEATURES = (("shelf/train.h5", "train.h5"), ("shelf/val.h5", "val.h5"))
_CLIPS = (("shelf/train-clips.h5", "train.h5"), ("shelf/val-clips.h5", "val.h5"))
_SCORES = (("shelf/scores/scores.h5", "scores.h5"), ("shelf/other/scores.h5", "other.h5"))

CHECKPOINTS = (
    Reader((*TOY.evaluate(_WEIGHTS, OUT), *QUIET), "weights.pt", 40, _FINETUNED, read_numbers),
    Reader((*TOY.extract(_WEIGHTS, OUT / "features.h5"), *QUIET), "weights.pt", 20, _PRETRAINED, read_numbers),
    Reader(
        (*TOY.finetune(OUT, "--weights", "weights.pt", "--set", "finetune.epochs=1"), *QUIET),
        "weights.pt",
        15,
        _PRETRAINED,
        read_numbers,
    ),
    Reader((*PRETRAIN.line, "--resume"), "out/checkpoints/last.pt", 25, (("shelf/begun", "out"),), read_numbers),
)
_PROBE = ("probe", "--train", "train.h5", "--test", "val.h5", "--json")
_RETRIEVE = ("retrieve", "--gallery", "val.h5", "--query", "train.h5", "--json")
_EXPORT = ("features", "export", "train.h5", "--out", "out/table.csv", "--average", "--json")
_MERGE = ("features", "merge", "train.h5", "val.h5", "--out", "out/merged.h5", "--json")
HDF5 = (
    Reader(_PROBE, "train.h5", 15, _FEATURES),
    Reader(_PROBE, "val.h5", 10, _CLIPS),
    Reader(_RETRIEVE, "train.h5", 10, _CLIPS),
    Reader(_EXPORT, "train.h5", 15, _FEATURES),
    Reader(_EXPORT, "train.h5", 10, _CLIPS),
    Reader(_MERGE, "train.h5", 15, _CLIPS),
    Reader(("features", "info", "train.h5", "--json"), "train.h5", 5, _FEATURES),
    Reader(("fuse", "scores.h5", "other.h5", "--out", "out", "--json"), "scores.h5", 35, _SCORES),
    Reader((*EXTRACT.line, "--resume"), "out/.features.h5.parts", 15, (("shelf/interrupted", "out"),)),
)


def attempt_checkpoint(trial: Trial, stage: Stage) -> None:
    """Damage a checkpoint, and read it."""
    _attempt(trial, stage, CHECKPOINTS)


def attempt_hdf5(trial: Trial, stage: Stage) -> None:
    """Damage a file of features or scores, or the parts of an extraction under way, and read it."""
    _attempt(trial, stage, HDF5)


def _attempt(trial: Trial, stage: Stage, readers: Sequence[Reader]) -> None:
    (reader,) = trial.draw.choices(readers, [each.share for each in readers])
    set_the_table(trial, stage, reader)
    victim = trial.work / reader.victim
    if victim.is_dir():
        victim = trial.draw.choice(sorted(victim.iterdir()))
    kind, content = damaged(victim.read_bytes(), trial.draw)
    victim.write_bytes(content)
    trial.name = f"{' '.join(reader.line[:2])} of {reader.victim}: {kind}"
    before = files_in(trial.work)
    ended = trial.run(reader.line)
    warnings, whole = stage.whole[reader]
    if ended.code:
        kept = {name for name in files_in(trial.work) if name.startswith(reader.victim)}  # rows, for --resume
        trial.check_refusal(ended, before | kept)
    elif ended.warnings <= warnings and (found := differences(reader.reads(trial.work / OUT, ended.stdout), whole)):
        trial.silent(f"{' '.join(reader.line[:2])} read {reader.victim} with other numbers: {kind}")
        trial.lines.append(f"differs: {found[0]}")


def set_the_table(trial: Trial, stage: Stage, reader: Reader) -> None:
    """Put copies of what a reader reads into the trial's folder."""
    stage.lay_out(trial)
    for source, target in reader.setting:
        copy(stage.inputs / source, trial.work / target)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def fill_shelf(stage: Stage) -> None:
    """Make what the readers read, and note what each of them prints and writes while it is whole."""
    for side in ("train", "val"):
        for kind, more in (("", ()), ("-clips", ("--per-clip", "--clips", "8"))):
            out = Path(f"shelf/{side}{kind}.h5")
            stage.add_input(TOY.extract("pretrained", out, "--list", f"lists/{side}.txt", *more))
    for name, clips in (("scores", "2"), ("other", "3")):
        stage.add_input(TOY.evaluate(Path("finetuned"), Path("shelf") / name, "--clips", clips))
    begun = stage.inputs / "shelf/begun"
    copy(stage.reference(PRETRAIN).out, begun)
    copy(begun / "checkpoints/epoch_0002.pt", begun / "checkpoints/last.pt")
    trial = stage.rehearsal("interrupted")
    half = len(stage.reference(EXTRACT).events) // 2
    trial.run(EXTRACT.line, shots=[Shot(signal.SIGKILL, event=half)])
    copy(trial.work / OUT, stage.inputs / "shelf/interrupted")
    for number, reader in enumerate((*CHECKPOINTS, *HDF5)):
        trial = Trial("stage", 0, stage.folder / f"whole-{number}", random.Random(0))
        set_the_table(trial, stage, reader)
        ended = succeed(trial, reader.line)
        stage.whole[reader] = ended.warnings, reader.reads(trial.work / OUT, ended.stdout)


def damaged(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Some kind of damage, and the content after it; never the content as it was."""
    while True:
        kind = draw.choice([*DAMAGES])
        changed = bytearray(content)
        DAMAGES[kind](changed, draw)
        if bytes(changed) != content:
            return kind, bytes(changed)


def _flip_bit(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _replace_bytes(content: bytearray, draw: random.Random) -> None:
    at, length = draw.randrange(len(content)), draw.randint(1, 16)
    content[at : at + length] = draw.randbytes(len(content[at : at + length]))


def _zero_block(content: bytearray, draw: random.Random) -> None:
    at = BLOCK_BYTES * draw.randrange(-(-len(content) // BLOCK_BYTES))
    content[at : at + BLOCK_BYTES] = bytes(len(content[at : at + BLOCK_BYTES]))


def _zero_run(content: bytearray, draw: random.Random) -> None:
    at, length = draw.randrange(len(content)), 2 ** draw.randint(2, 14)
    content[at : at + length] = bytes(len(content[at : at + length]))


def _flip_signs(content: bytearray, draw: random.Random) -> None:
    first = 4 * draw.randrange(max(1, len(content) // 4 - 1))
    for at in range(first + 3, min(len(content), first + 4 * draw.choice((1, 8, 64, 512))), 4):
        content[at] ^= SIGN_BIT


def _swap_blocks(content: bytearray, draw: random.Random) -> None:
    length = min(512, len(content) // 2)
    one, other = sorted(length * draw.randrange(len(content) // length) for _ in range(2))
    first, second = content[one : one + length], content[other : other + length]
    if one + length <= other and len(second) == length:
        content[one : one + length], content[other : other + length] = second, first


def _cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def _drop_run(content: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(content))
    del content[at : at + 2 ** draw.randint(0, 10)]


def _insert_run(content: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(content))
    content[at:at] = draw.randbytes(2 ** draw.randint(0, 10))


def _change_digit(content: bytearray, draw: random.Random) -> None:
    places = [at for at, byte in enumerate(content) if 48 <= byte <= 57]
    if places:
        content[draw.choice(places)] = 48 + draw.randrange(10)


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "a bit flipped": _flip_bit,
    "some bytes replaced": _replace_bytes,
    "a block of 4 kB zeroed": _zero_block,
    "a run of bytes zeroed": _zero_run,
    "signs of numbers flipped": _flip_signs,
    "two blocks exchanged": _swap_blocks,
    "cut short": _cut,
    "a run of bytes left out": _drop_run,
    "random bytes inserted": _insert_run,
    "a digit changed": _change_digit,
}
