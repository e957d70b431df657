"""The report through the real command, on real runs and on damaged ones."""

import json
import math
import os
import shutil
import subprocess
from html import escape
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.analysis.test_report import Page
from tests.engine.features.test_probe import write
from tests.toy import NUM_VAL, Toy, files_in, refuse, succeed, without_checksums
from vtdl_cli.engine.report.evaluations import choose_rows, read_retrieval

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def evaluated(toy: Toy, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finetuned run with results in it; not to be changed."""
    run = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(finetuned, run)
    succeed(*toy.evaluate(run, run / "test"))
    return run


@pytest.fixture(scope="module")
def page_file(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    succeed("report", str(evaluated), "--out", str(out))
    return out


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    copy = Path(shutil.copytree(evaluated, tmp_path / "run"))
    (copy / "metrics.jsonl").write_text(
        '{"epoch": 1, "step": 1, "loss": 2.0}\n{"epoch": 2, "step": 2, "loss": 1.0}\n'
    )  # one quick figure
    return copy


def text_of(out: Path) -> str:
    return " ".join(Page(out.read_text()).text)


def report_of(run: Path, *more: str) -> str:
    out = run.with_suffix(".html")
    succeed("report", str(run), "--out", str(out), *more)
    return text_of(out)


def test_report__shows_what_the_files_hold(evaluated: Path, page_file: Path) -> None:
    """Oracle: the files of the run, read one by one."""
    page = Page(page_file.read_text())
    text = " ".join(page.text)
    metrics = json.loads((evaluated / "test/metrics.json").read_text())
    rows = [json.loads(line) for line in (evaluated / "metrics.jsonl").read_text().splitlines()]
    expected = [f"{metrics[name]:.1f}%" for name in ("top1", "mean_class", "macro_f1")]
    expected += [f"{low:.1f} to {high:.1f}" for low, high in metrics["intervals"].values()]
    expected += [f"{rows[0]['loss']:.4g}", f"{rows[-1]['loss']:.4g}", f"{len(rows)} epochs"]
    expected += [metrics["protocol"], metrics["weights_sha256"], metrics["list_sha256"], metrics["decoder"]]
    expected += ["r3d, depth 10, width 4", "4 frames, stride 2", "32 pixels of rgb", "None: every video could be read."]
    assert [words for words in expected if words not in text] == []
    assert (evaluated / "config.yaml").read_text() in page.text
    assert all(link.startswith("data:image/") for link in page.links)
    with h5py.File(evaluated / "test/scores.h5") as file:
        scores, labels, paths = file["scores"][:], file["labels"][:], file["paths"].asstr()[:]
    assert NUM_VAL == 6  # at most as many as are shown of each kind
    assert [path for path in paths if path not in text] == []
    assert [f"{100 * row.max():.0f}%" for row in scores if f"{100 * row.max():.0f}%" not in text] == []
    for label in range(3):
        right = int((scores.argmax(1) == labels)[labels == label].sum())
        assert f"{right} of 2" in text


def test_report__is_one_file_and_the_same_again(evaluated: Path, run: Path) -> None:
    result = json.loads(succeed("report", str(run), "--json").stdout)
    assert files_in(run) - files_in(evaluated) == {"report.html"}
    first = (run / "report.html").read_bytes()
    assert result["kilobytes"] == -(-len(first) // 1024)
    assert {name: result[name] for name in ("epochs", "results", "samples")} == {
        "epochs": 2, "results": ["test"], "samples": NUM_VAL,
    }  # fmt: skip
    refuse("report", str(run), code=2, says=("report.html' exists. Use --overwrite",))
    succeed("report", str(run), "--overwrite")
    assert (run / "report.html").read_bytes() == first


def test_report__of_pretraining_has_curves_and_no_accuracies(pretrained: Path, tmp_path: Path) -> None:
    succeed("report", str(pretrained), "--out", str(tmp_path / "page.html"))
    text = text_of(tmp_path / "page.html")
    for words in ("Pretraining without labels by vtdl", "queue of 16 keys", "intra-video negative logit", "alpha 0.5"):
        assert words in text
    assert f"vtdl finetune --preset {pretrained}/config.yaml --weights {pretrained}" in text
    assert (tmp_path / "page.html").read_text().count("Curve over the epochs") == 6


def test_report__warns_of_pretraining_that_learns_nothing(pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the toy's 16 keys, the positive and the intra-video negative are 18 choices, and ln 18 is 2.89."""
    run = Path(shutil.copytree(pretrained, tmp_path / "run"))
    for loss, is_told in ((2.89, True), (2.5, False)):
        row = {"epoch": 3, "step": 9, "loss": loss, "chance_loss": math.log(18), "spread": 0.5}
        (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        assert ("Warning: after 3 epochs the loss is" in report_of(run, "--overwrite")) == is_told


def test_report__finetuned_without_results_says_how_to_get_them(finetuned: Path, tmp_path: Path) -> None:
    succeed("report", str(finetuned), "--out", str(tmp_path / "page.html"))
    assert f"vtdl evaluate --weights {finetuned} --list lists/test_split_1.txt" in text_of(tmp_path / "page.html")


def test_report__results_elsewhere(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    for clips in ("1", "2"):
        succeed(*toy.evaluate(finetuned, tmp_path / "out" / clips, "--clips", clips))
    out = tmp_path / "page.html"
    succeed("report", str(finetuned), "--results", str(tmp_path / "out"), "--out", str(out))
    assert "1: clip@1" in text_of(out)
    assert "2: video@2" in text_of(out)
    line = ["report", str(finetuned), "--out", str(tmp_path / "b.html"), "--results"]
    refuse(*line, str(toy.root), code=2, says=("hold no metrics.json. First: vtdl evaluate",))
    for content in ("{}", "[1]", "{", '{"top1": 1, "top5": 1, "mean_class": 1}'):
        (tmp_path / "metrics.json").write_text(content)
        refuse(*line, str(tmp_path), code=2, says=("metrics.json' are damaged, or not of vtdl evaluate",))


def test_report__names_with_markup_in_them(page_file: Path, run: Path) -> None:
    """Classes are what a user calls them: they come out as they went in, and open no tag."""
    names = ["<i>blue", 'gr"een', "re&d"]
    with without_checksums(run / "test/scores.h5") as file:
        file.attrs["classes"] = json.dumps(names)
    text = report_of(run)
    assert all(name in text for name in names)
    page, plain = (Page(file.read_text()) for file in (run.with_suffix(".html"), page_file))
    assert page.tags.count("i") == plain.tags.count("i")  # of the bars
    assert page.tags.count("figure") == plain.tags.count("figure")


def test_report__videos_that_are_gone_are_named(run: Path, tmp_path: Path) -> None:
    metrics = json.loads((run / "test/metrics.json").read_text())
    (run / "test/metrics.json").write_text(json.dumps({**metrics, "root": str(tmp_path / "gone")}))
    text = report_of(run)
    assert f"{NUM_VAL} of {NUM_VAL} videos cannot be shown: video '{tmp_path}/gone/blue/blue_4.mp4' cannot" in text
    assert text.count("no frame") == NUM_VAL
    (run / "test/metrics.json").write_text(json.dumps({**metrics, "decoder": "betamax"}))
    assert "decoder 'betamax' is unknown" in report_of(run, "--overwrite")


def test_report__older_results_are_shown_as_far_as_possible(run: Path) -> None:
    metrics = json.loads((run / "test/metrics.json").read_text())
    old = {name: value for name, value in metrics.items() if name not in ("intervals", "root", "decoder", "aggregate")}
    (run / "test/metrics.json").write_text(json.dumps(old))
    text = report_of(run)
    assert "do not name the folder of the videos" in text
    assert f"{metrics['top1']:.1f}%" in text
    with without_checksums(run / "test/scores.h5") as file:
        del file.attrs["schema"]
    (run / "test/confusion.png").write_text("no PNG")
    text = report_of(run, "--overwrite")
    assert "No classes and no examples" in text
    assert "No confusion matrix" in text


def test_report__skipped_videos_are_listed(run: Path) -> None:
    metrics = json.loads((run / "test/metrics.json").read_text())
    skipped = [{"path": "blue/<broken>.mp4", "reason": "the file is empty"}]
    (run / "test/metrics.json").write_text(json.dumps({**metrics, "skipped": skipped}))
    text = report_of(run)
    assert "blue/<broken>.mp4" in text
    assert "the file is empty" in text


def test_report__results_of_other_weights_are_marked(run: Path) -> None:
    metrics = json.loads((run / "test/metrics.json").read_text())
    (run / "test/metrics.json").write_text(json.dumps({**metrics, "weights_sha256": "0" * 64}))
    assert "test was measured with other weights than the run now holds" in report_of(run)


def test_report__incomplete_run(run: Path) -> None:
    """What is not there is left out with a sentence; a foreign metrics.json is left out with a warning."""
    shutil.rmtree(run / "checkpoints")
    (run / "config.yaml").write_text("model: {name: betamax}\n")
    (run / "metrics.jsonl").write_text('{"epoch": 1}\n{"ep')
    (run / "other").mkdir()
    (run / "other/metrics.json").write_text("[1]")
    result = succeed("report", str(run))
    assert result.stderr.startswith(f"warning: left out: results '{run}/other/metrics.json' are damaged")
    text = text_of(run / "report.html")
    for words in (
        "does not fit this version",
        "metrics.jsonl' is damaged: line 1 is not an epoch",
        "holds no checkpoints/last.pt",
        "betamax",
    ):
        assert words in text


def test_report__other_folders_are_refused(toy: Toy, tmp_path: Path) -> None:
    out = str(tmp_path / "page.html")
    refuse("report", str(toy.root), "--out", out, code=2, says=("holds neither config.yaml nor metrics.jsonl. Name",))
    refuse("report", str(tmp_path / "none"), "--out", out, code=2, says=("none' is not a folder. Name a run folder",))
    assert list(tmp_path.iterdir()) == []


def test_report__impossible_output(finetuned: Path, tmp_path: Path) -> None:
    refuse("report", str(finetuned), "--out", str(tmp_path), code=2, says=("is a folder. Name a file in it",))
    refuse("report", str(finetuned), "--out", str(tmp_path / "a.pdf"), code=2, says=("does not end in .html",))
    (tmp_path / "file").touch()
    refuse("report", str(finetuned), "--out", str(tmp_path / "file/a.html"), code=2, says=("is a file. Choose",))


def test_report__retrieval_as_json_and_as_figure(run: Path, tmp_path: Path) -> None:
    (tmp_path / "numbers.json").write_text(
        json.dumps({"R@1": 34.56789, "per class": {"<b>": 7}, "queries": [1, 2], "of": None})
    )
    shutil.copy(run / "test/confusion.png", tmp_path / "drawn.png")
    files = [str(tmp_path / name) for name in ("numbers.json", "drawn.png")]
    text = report_of(run, "--retrieval", files[0], "--retrieval", files[1])
    for words in ("34.57", "per class: <b>", "1 x 2", "none", "drawn.png"):
        assert words in text
    assert "No retrieval" not in text
    (tmp_path / "other.txt").write_text("R@1 34")
    line = ["report", str(run), "--out", str(tmp_path / "b.html"), "--retrieval"]
    refuse(*line, str(tmp_path / "other.txt"), code=2, says=("is neither JSON nor PNG",))
    refuse(*line, str(tmp_path / "none.json"), code=2, says=("does not exist. First: vtdl retrieve",))


def test_report__retrieval_is_told_in_words(run: Path, tmp_path: Path) -> None:
    """Of vtdl retrieve itself, with classes and without: no key with an underscore is left."""
    known = [write(tmp_path / f"{name}.h5", 30, seed) for seed, name in enumerate(("train", "val"))]
    table = ("--per-query", str(tmp_path / "nearest.csv"), "--overwrite", "--json")
    for pair in (known, known[:1] * 2):
        if pair[0] == pair[1]:
            with h5py.File(known[0], "a") as file:
                file["labels"][:] = -1
        found = succeed("retrieve", "--gallery", str(pair[0]), "--query", str(pair[1]), *table).stdout
        (tmp_path / "found.json").write_text(found)
        keys = [label for label, _ in read_retrieval(tmp_path / "found.json").values]
        assert [key for key in keys if "_" in key] == []
        assert len(set(keys)) == len(keys)
        text = report_of(run, "--retrieval", str(tmp_path / "found.json"), "--overwrite")
        assert "videos in the gallery" in text
    first = json.loads(found)["neighbours"][0]
    assert f"nearest to {first['query']} by cosine: {first['nearest'][0]['path']} (" in text
    assert "further queries 20, in the JSON" in text
    (tmp_path / "found.json").write_text('{"neighbours": [1]}')
    line = ["report", str(run), "--out", str(tmp_path / "b.html"), "--retrieval", str(tmp_path / "found.json")]
    refuse(*line, code=2, says=("found.json' has damaged neighbours. Name an output of vtdl retrieve",))


def test_choose_rows__correct_ones_first_and_spread() -> None:
    """Oracle: by hand."""
    correct = np.array([True, False, True, True, False, True, True])
    assert list(choose_rows(correct, 3)) == [0, 3, 6, 1, 4]
    assert list(choose_rows(np.ones(4, bool), 1)) == [0]
    assert list(choose_rows(np.ones(0, bool))) == []


MEASURE = """<!doctype html><body><iframe id="page" width="{width}" height="900" srcdoc="{page}"></iframe><script>
onload = () => {{
  const root = document.getElementById("page").contentDocument.documentElement;
  document.title = "wide " + root.scrollWidth + " of " + root.clientWidth + ", high " + root.scrollHeight;
}}</script>"""


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium on the PATH")
@pytest.mark.parametrize("width", [420, 1280])
def test_report__fits_a_window(page_file: Path, tmp_path: Path, width: int) -> None:
    """A browser lays the page out in a frame of that width, and tells how wide the page became."""
    wrapped = tmp_path / "wrapped.html"
    wrapped.write_text(MEASURE.format(width=width, page=escape(page_file.read_text())))
    line = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    result = subprocess.run(
        [*line, "--window-size=1400,900", "--dump-dom", wrapped.as_uri()],
        capture_output=True, text=True, check=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    title = result.stdout.split("<title>")[1].split("</title>")[0]
    words = title.replace(",", "").split()
    assert int(words[1]) <= int(words[3]) <= width, title
    assert int(words[5]) > 1000, title
