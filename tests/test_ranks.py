"""Two ranks compute what one process computes on the whole batch.

`tests/two_processes.py` runs once on two ranks, and its functions once more here, in one process.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import two_processes as one
from tests.toy import differences, ends, start_processes
from vtdl_cli import ranks
from vtdl_cli.errors import UsageError
from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.zoo import create_backbone

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two ranks have written."""
    folder = tmp_path_factory.mktemp("ranks")
    for code, _, stderr in ends(start_processes(2, "-W", "error", "-m", "tests.two_processes", str(folder))):
        assert code == 0, stderr
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_gather_objects__gives_all_ranks_all_objects_in_order(found: Found) -> None:
    assert [each["gathered_objects"] for each in found] == [["from 0", "from 1"]] * 2
    assert [each["from_rank_0"] for each in found] == [0, 0]


def test_gather_rows__of_parts_of_unequal_length(found: Found) -> None:
    """Oracle: rank 0 has 0, 1, 2 and rank 1 has 3, 4: integers, which stay integers."""
    assert [each["gathered"].tolist() for each in found] == [[0, 1, 2, 3, 4]] * 2
    assert [each["gathered"].dtype for each in found] == [torch.int64] * 2
    assert [each["local"].tolist() for each in found] == [[0, 1, 2], [3, 4]]


def test_all_reduce__is_the_sum(found: Found) -> None:
    """Oracle: 1 + 2; what each put in is left as it was."""
    assert [each["all_reduce"].item() for each in found] == [3.0, 3.0]
    assert [each["number"].item() for each in found] == [1.0, 2.0]


def test_on_rank_0__runs_on_rank_0_alone(folder: Path, found: Found) -> None:  # noqa: ARG001
    assert (folder / "written").read_text() == "by 0"


def test_broadcast__makes_all_equal(found: Found) -> None:
    """Oracle: the weights and the buffer drawn with rank 0's seed, 0."""
    for each in found:
        assert differences(each["broadcast"], one.broadcast()) == []


def test_vtdl__gradients_of_both_are_those_of_one(found: Found) -> None:
    """Oracle: the method in one process, on all five videos; its encoder has no batch norm, which would differ."""
    alone = one.step_of_vtdl()
    for each in found:
        torch.testing.assert_close(each["vtdl"]["gradients"], alone["gradients"])
    weighted = sum(size * each["vtdl"]["loss"] for size, each in zip(one.PARTS, found, strict=True)) / one.NUM_VIDEOS
    torch.testing.assert_close(weighted, alone["loss"])


def test_gradient_sync__averages_the_sum_of_all_batches_once(found: Found) -> None:
    """Oracle: one process with both whole batches. Before the last one nothing was averaged: the ranks differ."""
    alone = one.accumulated()
    for each in found:
        torch.testing.assert_close(each["accumulated"]["both"], alone["both"])
    first = [each["accumulated"]["first"] for each in found]
    assert len(differences(*first)) == 2
    mean = {name: (first[0][name] + first[1][name]) / 2 for name in first[0]}
    torch.testing.assert_close(mean, alone["first"])


def test_sync_batch_norm__keeps_the_names_of_all_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: torch's own class wherever there was a batch norm; what it computes needs several GPUs."""
    network = create_backbone("r3d", depth=10, width=4)
    before, count = network.state_dict(), sum(isinstance(each, BatchNorm3d) for each in network.modules())
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    ranks.sync_batch_norm(network, torch.device("cuda"))
    assert sum(isinstance(each, torch.nn.SyncBatchNorm) for each in network.modules()) == count == 12
    assert differences(dict(network.state_dict()), dict(before)) == []
    with pytest.raises(UsageError, match="needs several processes on GPUs, and these are on 'cpu'"):
        ranks.sync_batch_norm(network, torch.device("cpu"))


def test_average_statistics__leaves_equal_ones_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the same bits, for three ranks with a number whose threefold is rounded in float32."""
    network = BatchNorm3d(1)
    network.running_mean, network.running_var = torch.tensor([0.1]), torch.tensor([0.7])
    monkeypatch.setenv("WORLD_SIZE", "3")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(ranks, "all_reduce", lambda value: value + value + value)
    ranks.average_statistics(network)
    assert (network.running_mean.item(), network.running_var.item()) == (
        torch.tensor(0.1).item(),
        torch.tensor(0.7).item(),
    )


def test_memories__are_the_same_in_both_and_hold_all_keys(found: Found) -> None:
    """Oracle: the queue and the bank of one process that was given all keys at once."""
    alone, bank = one.step_of_vtdl()["memory"], one.bank()
    for each in found:
        torch.testing.assert_close(each["vtdl"]["memory"], alone)
        torch.testing.assert_close(each["bank"], bank)


def test_nce__normaliser_is_that_of_the_whole_batch(found: Found) -> None:
    """Oracle: one process with all logits."""
    for each in found:
        torch.testing.assert_close(each["normaliser"], one.normaliser())


def test_spread__is_that_of_the_whole_batch(found: Found) -> None:
    """Oracle: one process with all embeddings; by hand, of two in five dimensions, one in each process: deviations of
    1/2, 1/2, 0, 0 and 0, whose mean by sqrt(5) is 0.447. In each process alone there is no spread."""
    for each in found:
        torch.testing.assert_close(each["spread"], one.spread())
        assert each["spread_of_two"].item() == pytest.approx(5**0.5 / 5)


def test_shuffle_bn__keys_under_autocast_are_those_of_one_process(found: Found) -> None:
    """Oracle: one process, bit for bit: a convolution under autocast rounds its clips to bf16, whoever did so before."""
    assert torch.equal(torch.cat([each["shuffled_in_bf16"] for each in found]), one.shuffled_in_bf16())


def test_shuffle_bn__each_key_is_normalised_with_those_it_was_shuffled_with(found: Found) -> None:
    """Oracle: NumPy. Shuffled clips, split into 3 and 2; mean and deviation of each part; then unshuffled."""
    order = found[0]["shuffled"]["order"].numpy()
    shuffled = np.split(one.clips_of_all(4).numpy()[order], [3])
    keys = np.empty((5, 2), np.float32)
    keys[order] = np.concatenate([normalised(clips) for clips in shuffled])
    ours = np.concatenate([each["shuffled"]["keys"].numpy() for each in found])
    np.testing.assert_allclose(ours, keys, rtol=1e-4, atol=1e-6)
    unshuffled = np.concatenate([normalised(clips) for clips in np.split(one.clips_of_all(4).numpy(), [3])])
    assert np.abs(ours - unshuffled).max() > 0.01  # so that the test would notice if nothing were shuffled


def test_shuffle_rows__are_those_of_the_shared_order(found: Found) -> None:
    """Oracle: all rows in one process, in rank 0's order, split in two; of each rank's own order, nothing is used."""
    for number, of_both in enumerate(zip(*(each["shuffled_rows"] for each in found), strict=True)):
        order = of_both[0]["order"]
        assert torch.equal(order, of_both[1]["order"])
        assert sorted(order.tolist()) == list(range((5, 7, 3, 1)[number]))
        rows = torch.arange(4.0 * len(order)).view(-1, 2, 2)[order]
        assert [share["rows"].tolist() for share in of_both] == [share.tolist() for share in rows.tensor_split(2)]
    assert any(each["order"].tolist() != sorted(each["order"].tolist()) for each in found[0]["shuffled_rows"])


def test_shuffle_rows__in_a_single_process() -> None:
    """Oracle: torch's own permutation by the same seed."""
    torch.manual_seed(3)
    rows, order = ranks.shuffle_rows(torch.arange(6))
    torch.manual_seed(3)
    assert rows.tolist() == order.tolist() == torch.randperm(6).tolist()


def normalised(clips: np.ndarray) -> np.ndarray:
    """Batch norm of clips (N, C, T, H, W), and the mean of each: (N, C)."""
    mean, variance = clips.mean((0, 2, 3, 4), keepdims=True), clips.var((0, 2, 3, 4), keepdims=True)
    result: np.ndarray = ((clips - mean) / np.sqrt(variance + 1e-5)).mean((2, 3, 4))
    return result


def test_average_statistics__is_the_mean_of_both(found: Found) -> None:
    """Oracle: by hand, momentum .1 from mean 0 and variance 1, twice, with the sample variance of each part.

    Between the two no process is given the other's: each has its own until they are averaged.
    """
    parts = np.split(one.clips_of_all(6).numpy(), [3])
    means = [0.19 * clips.mean((0, 2, 3, 4)) for clips in parts]
    variances = [0.81 + 0.19 * clips.var((0, 2, 3, 4), ddof=1) for clips in parts]
    for each, own in zip(found, means, strict=True):
        np.testing.assert_allclose(each["statistics"]["local"], own, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(each["statistics"]["running_mean"], np.mean(means, 0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(each["statistics"]["running_var"], np.mean(variances, 0), rtol=1e-5)


def test_single_process__everything_is_the_identity() -> None:
    values, network = torch.arange(3), torch.nn.Linear(2, 2)
    assert (ranks.rank(), ranks.world_size(), ranks.is_rank_0()) == (0, 1, True)
    assert ranks.gather_objects("mine") == ["mine"]
    assert ranks.gather_rows(values) is values
    assert ranks.wrap_ddp(network) is network
    assert ranks.local_rows(values, 3).tolist() == [0, 1, 2]
    assert ranks.init_process_group(torch.device("cuda", 1)) == torch.device("cuda", 1)


@pytest.fixture
def one_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts the last of four processes on a machine."""
    for name, value in {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 3, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("one_of_four")
def test_init_process_group__refuses_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="4 processes exceed the 2 GPUs .* Use torchrun --nproc-per-node 2"):
        ranks.init_process_group(torch.device("cuda"))
    with pytest.raises(UsageError, match="'cuda:1' is a single GPU, and there are 4 processes"):
        ranks.init_process_group(torch.device("cuda:1"))
    with pytest.raises(UsageError, match="'mps' takes one process, and there are 4"):
        ranks.init_process_group(torch.device("mps"))


@pytest.mark.usefixtures("one_of_four")
def test_init_process_group__gives_each_rank_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = list[torch.device]()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert ranks.init_process_group(torch.device("cuda")) == torch.device("cuda:3")
    assert chosen == [torch.device("cuda:3")]


@pytest.mark.usefixtures("one_of_four")
def test_destroy_process_group__is_called_once_initialised(monkeypatch: pytest.MonkeyPatch) -> None:
    """And after all ranks have come to it: a rank whose peer has left already may be aborted by gloo."""
    done = list[str]()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: "left" not in done)
    monkeypatch.setattr(ranks, "wait_for_all", lambda: done.append("waited"))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: done.append("left"))
    ranks.destroy_process_group()
    ranks.destroy_process_group()
    assert done == ["waited", "left"]


def test_numbers__on_the_second_of_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun numbers the first of its two processes there: it has its machine's first GPU, and writes nothing."""
    for name, value in {"RANK": 2, "WORLD_SIZE": 4, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    assert (ranks.rank(), ranks.world_size(), ranks.is_rank_0()) == (2, 4, False)
    assert (ranks.local_rank(), ranks.local_world_size()) == (0, 2)


def test_numbers__of_another_launcher_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a cluster sets WORLD_SIZE for itself and torchrun has not started anything, there is one process."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (ranks.rank(), ranks.world_size(), ranks.is_rank_0()) == (0, 1, True)
    assert (ranks.local_rank(), ranks.local_world_size()) == (0, 1)


def test_import__leaves_torch_alone() -> None:
    """The command line reads its rank first of all, and --help has to stay fast."""
    code = "import sys, vtdl_cli.ranks; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
