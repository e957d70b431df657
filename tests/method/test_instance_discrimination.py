import numpy as np
import pytest
import torch

from tests.method.linear_encoder import DIM, LinearEncoder
from vtdl_cli.method.instance_discrimination import InstanceDiscrimination
from vtdl_cli.method.memory import VideoBank

TEMPERATURE = 0.1


def test_instance_discrimination__two_steps() -> None:
    """Oracle: NumPy, number by number: the positive is the bank's own entry, others are drawn, its own left out."""
    torch.manual_seed(0)
    task = InstanceDiscrimination(LinearEncoder(), VideoBank(6, 5, DIM, momentum=0.5), TEMPERATURE)
    bank = task.bank.keys.clone().double().numpy()
    for number, videos in enumerate(([0, 3], [3, 5])):
        clips = torch.randn(2, 2, 3, 2, 2, generator=torch.Generator().manual_seed(number))
        torch.manual_seed(number)
        drawn = torch.randint(6, (5,)).tolist()
        torch.manual_seed(number)
        step = task(clips, torch.tensor(videos))
        q = task.encoder(clips).detach().double().numpy()
        total = 0.0
        for row, video in zip(q, videos, strict=True):
            terms = [np.exp(row @ bank[video] / TEMPERATURE)]
            terms += [np.exp(row @ bank[other] / TEMPERATURE) for other in drawn if other != video]
            total -= np.log(terms[0] / sum(terms)) / len(videos)
        assert step.loss.item() == pytest.approx(total, rel=1e-4)
        for row, video in zip(q, videos, strict=True):
            mixed = (bank[video] + row) / 2
            bank[video] = mixed / np.linalg.norm(mixed)
        np.testing.assert_allclose(task.bank.keys.numpy(), bank, atol=1e-5)


def test_instance_discrimination__gradient_reaches_the_encoder_alone() -> None:
    task = InstanceDiscrimination(LinearEncoder(), VideoBank(6, 5, DIM), TEMPERATURE)
    task(torch.randn(2, 2, 3, 2, 2), torch.tensor([1, 2])).loss.backward()
    assert all(parameter.grad is not None for parameter in task.trained_parameters())
    assert not task.bank.keys.requires_grad
