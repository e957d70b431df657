"""Class names for feature files: their own, or a guess for files without names."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.data.lists.class_names import read_classes
from vtdl_cli.data.lists.label_sets import compare_classes, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.errors import ListError
from vtdl_cli.text import counted

UNKNOWN_NAME = "unknown"
"""Of UNKNOWN_CLASS, -1."""


def name_classes(files: Sequence[Features], source: Path | None) -> dict[int, str]:
    """Return the name of every class that occurs.

    Args:
        files: features of one set of classes.
        source: a classes.txt; none: the names in the files, else the folders of the videos where each class has one of
            its own, else numbers.

    Raises:
        ListError: `source` cannot be read, or names too few classes.
        UsageError: its names differ from those in a file.
    """
    labels = sorted({int(label) for features in files for label in features.labels})
    if source is None:
        own = next((features.label_set.names for features in files if features.label_set.names), None)
        names = dict(enumerate(own)) if own else _name_by_folder(files)
    else:
        names = dict(enumerate(read_classes(source)))
        if labels[-1] not in names and labels[-1] != UNKNOWN_CLASS:
            raise ListError(
                f"class file '{source}' names {counted(len(names), 'class')}, but "
                f"'{files[0].path}' has class {labels[-1]}. "
                "Name the classes.txt beside its list"
            )
        given = label_set(f"class file '{source}'", list(names.values()), np.arange(len(names)))
        for features in files:
            compare_classes(given, features.label_set, "Leave --classes out: the file has names of its own")
    return {label: names.get(label, str(label)) if label != UNKNOWN_CLASS else UNKNOWN_NAME for label in labels}


def _name_by_folder(files: Sequence[Features]) -> dict[int, str]:
    """Name each class after the folder of its videos; empty where a class has several folders, or shares one."""
    found: dict[int, set[str]] = defaultdict(set)
    for features in files:
        for label, path in zip(features.labels, features.paths, strict=True):
            if label != UNKNOWN_CLASS:
                found[int(label)].add(PurePosixPath(path).parent.name)
    names = {label: min(folders) for label, folders in found.items() if len(folders) == 1}
    one_to_one = len(names) == len(found) == len(set(names.values()))
    return names if one_to_one and all(names.values()) else {}
