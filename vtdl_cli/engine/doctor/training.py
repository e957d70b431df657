"""The check of everything together: a short pretraining."""

from vtdl_cli.data.video.motion import CLASSES, write_videos
from vtdl_cli.engine.doctor.examination import CollectingReporter, Examination, Finding
from vtdl_cli.settings import load_config

STEPS_PER_EPOCH = 2


def check_training(examination: Examination) -> Finding:
    """Pretrain a small network on generated videos, from the list to the checkpoint."""
    from vtdl_cli.engine.request import Execution, ListSource
    from vtdl_cli.engine.train.pretrain import pretrain

    videos, reporter = examination.scratch / "videos", CollectingReporter()
    write_videos(videos, 1, 0, lambda: None)
    batch = len(CLASSES) // STEPS_PER_EPOCH
    config = load_config("demo", ["pretrain.epochs=2", f"pretrain.batch_size={batch}", "pretrain.knn_every=0"])
    execution = Execution(device=examination.device)
    result = pretrain(config, ListSource(videos), examination.scratch / "run", execution, reporter)
    row = result["metrics"]  # of the second epoch: the first includes the start of workers and kernels
    step = f"{1000 * row['seconds'] / STEPS_PER_EPOCH:.0f} ms"
    found = f"{step} a step of {batch} triplets of the preset demo, {result['machine']}"
    if slowing := [text for text in reporter.texts if "shared memory" in text]:
        return Finding("warning", f"{found}; {slowing[0]}")
    return Finding("ok", found)
