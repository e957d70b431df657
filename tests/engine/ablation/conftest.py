"""An ablation for all tests of this folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ablation.typed import words
from tests.toy import Toy, succeed


@pytest.fixture(scope="session")
def done(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the JSON of an ablation, computed part by part; not to be changed."""
    out = tmp_path_factory.mktemp("ablation") / "out"
    return out, json.loads(succeed(*words(toy, out), "--json", "--finetune-draws", "1").stdout)
