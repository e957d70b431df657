import json
from pathlib import Path

from tests.toy import refuse, succeed, vtdl
from vtdl_cli.settings import find_preset, load_config, preset_names


def test_list__names_every_preset_with_its_purpose() -> None:
    lines = succeed("presets", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    assert all(len(line.split()) > 2 for line in lines)


def test_list__as_json() -> None:
    titles = json.loads(succeed("presets", "list", "--json").stdout)
    assert list(titles) == preset_names()
    assert titles["demo"].startswith("Small R3D-10")


def test_show__is_the_file_as_written() -> None:
    assert succeed("presets", "show", "demo").stdout == find_preset("demo").read_text()


def test_show__resolved_with_a_change(tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(succeed("presets", "show", "demo", "--set", "pretrain.epochs=5").stdout)
    assert load_config(str(tmp_path / "shown.yaml")) == load_config("demo", ["pretrain.epochs=5"])


def test_show__as_json() -> None:
    shown = json.loads(succeed("presets", "show", "demo", "--json", "--set", "pretrain.epochs=5").stdout)
    assert shown == load_config("demo", ["pretrain.epochs=5"]).to_dict()


def test_copy__can_be_changed_and_used(tmp_path: Path) -> None:
    target = tmp_path / "new" / "mine.yaml"
    result = succeed("presets", "copy", "demo", str(target))
    assert target.read_text() == find_preset("demo").read_text()
    assert (result.stdout, result.stderr) == ("", f"copied demo to {target}\n")
    target.write_text(target.read_text().replace("batch_size: 16", "batch_size: 8"))
    assert load_config(str(target)).pretrain.batch_size == 8


def test_copy__refuses_to_replace_a_file(tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("mine")
    refuse("presets", "copy", "demo", str(target), code=2, says=(f"target '{target}' exists. Use --overwrite",))
    assert target.read_text() == "mine"
    assert vtdl("presets", "copy", "demo", str(target), "--overwrite").exit_code == 0
    assert target.read_text() == find_preset("demo").read_text()


def test_copy__refuses_a_folder_and_an_unknown_name(tmp_path: Path) -> None:
    refuse("presets", "copy", "demo", str(tmp_path), code=2, says=("is a folder. Name a file",))
    refuse("presets", "copy", "dmeo", str(tmp_path / "x.yaml"), code=2, says=("Did you mean 'demo'?",))
    assert list(tmp_path.iterdir()) == []
