"""Checks of what computes: device, precision, Conv3d, NCCL."""

import shutil

from vtdl_cli.engine.doctor.examination import Examination, Finding
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import select_autocast, select_device
from vtdl_cli.text import brief_number, counted


def check_device(examination: Examination) -> Finding:
    """The device exists; a GPU that torch does not see is a warning."""
    import torch

    try:
        device = select_device(examination.device)
    except UsageError as error:
        return Finding("fail", str(error))
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        number = counted(torch.cuda.device_count(), "GPU")
        return Finding("ok", f"{number}, {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if examination.device == "auto" and shutil.which("nvidia-smi"):
        return Finding(
            "warning",
            f"a GPU is installed, but torch {torch.__version__} does not see it: runs would use the CPU",
            "Install the build of torch for your driver: https://pytorch.org/get-started/locally",
        )
    return Finding("ok", f"{device.type}, {counted(torch.get_num_threads(), 'thread')}")


def check_precision(examination: Examination) -> Finding:
    """What `precision: auto` means here."""
    import torch

    without = "the device has no bf16 instructions"
    names = {torch.bfloat16: "bf16", torch.float16: f"fp16: {without}", None: f"fp32: {without}"}
    return Finding("ok", names[select_autocast("auto", select_device(examination.device))])


def check_conv3d(examination: Examination) -> Finding:
    """3D convolutions are correct in the chosen precision, and these versions have no known defect."""
    import torch

    from vtdl_cli.engine.networks.conv3d_defects import TOLERANCE, find_known_defect, measure_conv3d_error

    device = select_device(examination.device)
    error = max(measure_conv3d_error(device, select_autocast("auto", device), frames) for frames in (2, 16))
    if not error < TOLERANCE:  # nor NaN
        return Finding(
            "fail", f"results are wrong: the error is {100 * error:.2g}% of them", "Use --set pretrain.precision=fp32"
        )
    cudnn = torch.backends.cudnn.version() if device.type == "cuda" else None
    defect, remedy = find_known_defect(torch.__version__, cudnn)
    if defect:
        return Finding("warning", defect, remedy)
    percent = brief_number(float(f"{100 * error:.1g}"))
    return Finding("ok", f"the error is {percent}% of the results; torch {torch.__version__} has no known defect")


def check_nccl(examination: Examination) -> Finding:
    """Several GPUs talk through NCCL."""
    import torch
    from torch import distributed

    if select_device(examination.device).type != "cuda":
        return Finding("ok", "not needed without a GPU")
    if distributed.is_available() and distributed.is_nccl_available():
        return Finding("ok", ".".join(map(str, torch.cuda.nccl.version())))
    return Finding("warning", "torch has none: a run can use one GPU only", "Install a build of torch with NCCL")
