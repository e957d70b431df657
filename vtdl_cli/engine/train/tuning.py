"""Make the steps of a training fast on its device; nothing here changes what they compute, but for rounding."""

import torch
from torch import nn

from vtdl_cli import ranks
from vtdl_cli.config import TrainingSection
from vtdl_cli.engine.networks.compiling import compile_augmentation, compile_backbones
from vtdl_cli.engine.networks.cuda_graphs import replay_backbones
from vtdl_cli.engine.networks.first_convolution import choose_form, first_convolution
from vtdl_cli.engine.networks.kernels import choose_kernels
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT, Machine, autocast
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Reporter


def tune(
    machine: Machine,
    model: nn.Module,
    options: TrainingSection,
    reporter: Reporter,
    *,
    videos: int,
    crop_size: int,
    deterministic: bool,
) -> Machine:
    """Choose kernels and the form of the first convolutions; where asked to, compile, and record what is launched.

    Args:
        machine: on which the model is.
        model: changed in place; its state dict stays.
        options: of the stage.
        reporter: told of what has been chosen, and warned of what cannot be compiled.
        videos: of this rank in a batch.
        crop_size: pixels.
        deterministic: see `choose_kernels`.

    Returns:
        The machine to use.
    """
    choose_kernels(machine.device, deterministic=deterministic)
    if machine.device.type == "cuda" and not deterministic:  # the form that is faster is not always the same
        form_first_convolutions(model, machine, reporter, videos, options.clip_len_frames, crop_size)
    if options.compile:
        compile_backbones(model, reporter.warn)
        if machine.device.type == "cuda":  # a CPU is faster with blocks that stay in its caches
            machine = compile_augmentation(machine, reporter.warn)
    if options.cuda_graphs:
        replay_backbones(model, machine.device, reporter.warn)
    return machine


def form_first_convolutions(
    model: nn.Module, machine: Machine, reporter: Reporter, videos: int, frames: int, crop_size: int
) -> None:
    """Compute each backbone's first convolution in the form in which it is fastest; all ranks as rank 0."""
    firsts = [first_convolution(each) for each in model.modules() if isinstance(each, Backbone)]
    if not firsts:
        return
    channels = firsts[0].in_channels
    clips = torch.zeros(videos, channels, frames, crop_size, crop_size, device=machine.device)
    clips = clips.contiguous(memory_format=MEMORY_FORMAT)
    form, gain = ranks.from_rank_0(choose_form(firsts[0], clips, autocast(machine)))
    for convolution in firsts:
        convolution.form = form
    if gain > 1:
        folded = "stride and time folded into " if form.unrolls else "stride folded into " if form.folds else ""
        reporter.line(f"first convolution: {folded or 'padded to '}{form.channels} channels, {gain:.1f} times as fast")
