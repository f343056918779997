"""The kernels as operators: what torch asks of one, and what a training script does to it."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from oracle import random_pair, relative_error, truth
from torch.utils.data import DataLoader, Dataset

from ssimlab import SSIMLoss, Window, dissimilarity, kernels, ms_dissimilarity, ssim, stable
from ssimlab.kernels import operators

OPERATORS = {
    "means": lambda x, y, s: (x, y, "cpu", list(s.taps), *s[1:], x.requires_grad),
    "unlike_map": lambda x, y, s: (x, y, "cpu", list(s.taps), *s[1:]),
}


def settings_of(x, y, window=Window()):
    return stable.prepare(x, y, 1.0, window, (0.01, 0.03))[2]


def value_and_gradient(x, y, fn=dissimilarity, **how):
    x = x.detach().clone().requires_grad_()
    value = fn(x, y, data_range=1.0, **how)
    return value.detach(), torch.autograd.grad(value, x)[0]


def run(code, **environment):
    """Run code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck_finds_nothing(name, padding, dtype):
    x, y = (image.requires_grad_() for image in random_pair(2, 14, 13, dtype=dtype))
    arguments = OPERATORS[name](x, y, settings_of(x, y, Window(padding=padding)))
    results = torch.library.opcheck(getattr(torch.ops.ssimlab, name).default, arguments)
    assert set(results.values()) == {"SUCCESS"}


def test_opcheck_finds_nothing_in_the_gradient():
    x, y = random_pair(2, 14, 13)
    weights = torch.ones(2, 4, 3, dtype=x.dtype)
    s = settings_of(x, y)
    arguments = (x, y, weights, "cpu", list(s.taps), *s[1:])
    results = torch.library.opcheck(torch.ops.ssimlab.gradient.default, arguments)
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("fn", [dissimilarity, ms_dissimilarity])
def test_a_second_backward_gives_the_same_bits_and_spoils_no_gradient_that_was_handed_out(fn):
    x, y = random_pair(3, 180, 170, dtype=torch.float32)
    x.requires_grad_()
    value = fn(x, y, data_range=1.0)
    value.backward(retain_graph=True)
    first = x.grad
    x.grad = None
    kept = first.clone()
    first.zero_()
    value.backward(retain_graph=True)
    assert torch.equal(x.grad, kept)
    (3 * value).backward()
    assert torch.allclose(x.grad, 4 * kept)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_only_the_gradients_that_are_asked_for_are_made(reduction, monkeypatch):
    made = []
    real = operators._gradient
    monkeypatch.setattr(
        operators, "_gradient", lambda x, y, *rest: (made.append(x.shape), real(x, y, *rest))[1]
    )
    x, y = random_pair(20, 21, dtype=torch.float32)
    y.requires_grad_()
    dissimilarity(x, y, data_range=1.0, reduction=reduction).sum().backward()
    assert x.grad is None
    assert y.grad is not None
    assert len(made) == (reduction == "none")


def test_the_gradient_by_either_image_and_by_both_is_the_same():
    x, y = random_pair(2, 33, 40, dtype=torch.float32)
    settings = {"data_range": 1.0, "window": Window(padding="reflect")}
    _, by_x, by_y = truth(x, y, **settings)
    both = [image.clone().requires_grad_() for image in (x, y)]
    ssim(*both, **settings).backward()
    for image, exact in zip(both, (by_x, by_y), strict=True):
        assert relative_error(image.grad, exact) <= 3e-6
    only_y = y.clone().requires_grad_()
    ssim(x, only_y, **settings).backward()
    assert relative_error(only_y.grad, by_y) <= 3e-6


@pytest.mark.parametrize("shape", [(5, 3, 64, 64), (300, 530)])
def test_one_thread_and_two_and_another_run_give_the_same_bits(shape):
    x, y = random_pair(*shape, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2, 5):
            torch.set_num_threads(threads)
            results.append(value_and_gradient(x, y))
    finally:
        torch.set_num_threads(before)
    for value, gradient in results[1:]:
        assert torch.equal(value, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_threads_of_python_at_once_get_their_own_numbers():
    pairs = [random_pair(2, 70, 60 + i, seed=i, dtype=torch.float32) for i in range(6)]
    alone = [value_and_gradient(*pair) for pair in pairs]
    together = [None] * len(pairs)
    before = torch.get_num_threads()

    def work(i):
        for _ in range(5):
            together[i] = value_and_gradient(*pairs[i])

    torch.set_num_threads(2)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(pairs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        torch.set_num_threads(before)
    for ours, expected in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


# Few enough pixels for torch to use one thread: after a fork its own pool hangs, for any program.
FORKED = """
import os, torch, ssimlab
torch.set_num_threads(2)
x = torch.rand(70, 300)
def both():
    a = x.clone().requires_grad_()
    value = ssimlab.dissimilarity(a, x.flip(-1), data_range=1.0)
    value.backward()
    return value.item(), a.grad.sum().item()
before = both()
child = os.fork()
if child == 0:
    os._exit(0 if both() == before else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert both() == before
print("the same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_goes_on_with_threads_of_its_own():
    # Where torch sees a GPU, its autograd refuses to work in a forked child.
    assert run(FORKED, CUDA_VISIBLE_DEVICES="").stdout == "the same\n"


class Pairs(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return ssim(*random_pair(40, 41, seed=i, dtype=torch.float32), data_range=1.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_data_loader_compute_the_same(workers):
    data = Pairs()
    expected = torch.stack([data[i] for i in range(len(data))])
    found = torch.cat(list(DataLoader(data, batch_size=2, num_workers=workers)))
    assert torch.equal(found, expected)


# Not compiled, the loops are Python's, which raises where an index leaves its array.
UNCOMPILED = """
import torch
from ssimlab import Window, dissimilarity, kernels
from ssimlab.kernels import cpu

assert not hasattr(cpu.sweep, "signatures")
cpu.TILE = 5, 6  # several tiles of a small image
torch.manual_seed(0)
for window in (Window(3), Window(5, None, "reflect"), Window(3, 0.5, "zero"), Window(1)):
    for x in (torch.rand(2, 9, 13).double(), torch.rand(13, 11).double().mT):
        y = 0.3 * torch.rand_like(x) + 0.7 * x.flip(-1)
        for reduction in ("mean", "none"):
            found = []
            for backend in ("cpu", "eager"):
                a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
                value = dissimilarity(
                    a, b, data_range=1.0, window=window, reduction=reduction, backend=backend
                )
                weights = torch.linspace(-1, 1, value.numel()).double().reshape(value.shape)
                found.append((value, *torch.autograd.grad((weights * value).sum(), (a, b))))
            for ours, theirs in zip(*found, strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-13), (window, reduction)
print("the same")
"""


def test_the_loops_stay_inside_their_arrays():
    assert run(UNCOMPILED, NUMBA_DISABLE_JIT="1").stdout == "the same\n"


COLD = """
import torch, ssimlab
x = torch.rand(1, 20, 20, requires_grad=True)
ssimlab.ssim(x, x.detach() * 0.5, data_range=1.0).backward()
print(bool(x.grad.isfinite().all()), end="")
"""


def test_the_compiler_is_announced_once_and_not_heard_of_again(tmp_path):
    first, second = (run(COLD, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.stdout == second.stdout == "True"
    assert first.stderr.count("compiling the CPU kernel for windows of 11 taps in float32") == 1
    assert second.stderr == ""


def test_where_nothing_can_be_written_the_kernel_still_works():
    # Numba finds its folders when the kernel is defined: here it is told that there is none.
    code = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n" + COLD
    assert run(code).stdout == "True"


def test_warm_compiles_what_it_is_asked_for(tmp_path):
    code = 'from ssimlab.__main__ import main; main(["warm", "--size", "3", "--dtype", "float32"])'
    told = run(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout
    assert told.startswith("3 x 3, float32: ready in ")
    assert any(tmp_path.rglob("*.nbc"))


@pytest.mark.parametrize("size", ["2", "0", "35"])
def test_warm_refuses_a_size_that_no_kernel_has(size, capsys):
    from ssimlab.kernels.command import main

    with pytest.raises(SystemExit):
        main(["--size", size])
    assert "--size must be odd and from 1 to 33" in capsys.readouterr().err


def test_describe_names_what_is_used_and_why_the_others_are_not():
    x, y = random_pair(20, 20)
    lines = kernels.describe(x, y).splitlines()
    assert lines[0].startswith("-> cpu     fused loops compiled by Numba")
    assert lines[1].startswith("   triton  not used: ")
    assert lines[2].startswith("   eager   torch operations")
    told = kernels.describe(x, y, taps=35).splitlines()
    assert told[0] == "   cpu     not used: the window has 35 taps, and the kernels take up to 33"
    assert told[2].startswith("-> eager")


def test_without_numba_one_line_says_so_and_the_eager_form_computes(monkeypatch):
    from ssimlab.kernels import choice, command

    monkeypatch.setattr(choice, "HAS_NUMBA", False)
    monkeypatch.setattr(command, "HAS_NUMBA", False)
    x, y = random_pair(20, 20)
    assert 'not used: Numba is not installed: pip install "ssimlab[kernels]"' in kernels.describe(
        x, y
    )
    assert torch.allclose(ssim(x, y, data_range=1.0), truth(x, y, data_range=1.0)[0].mean())
    with pytest.raises(RuntimeError, match=r'backend="cpu" cannot be used here: Numba is not'):
        ssim(x, y, data_range=1.0, backend="cpu")
    assert command.main([]) == 1


def test_a_kernel_that_is_named_is_used_or_refused_with_the_reason():
    x, y = random_pair(40, 40)
    for backend in ("cpu", "eager"):
        value = ssim(x, y, data_range=1.0, backend=backend)
        assert torch.allclose(value, ssim(x, y, data_range=1.0), rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError, match="35 taps, and the kernels take up to 33"):
        ssim(x, y, data_range=1.0, window=Window(35), backend="cpu")
    with pytest.raises(RuntimeError, match=r"torch\.func transforms every operation"):
        torch.func.grad(lambda a: ssim(a, y, data_range=1.0, backend="cpu"))(x)
    with pytest.raises(ValueError, match="backend must be one of"):
        ssim(x, y, data_range=1.0, backend="gpu")
    with pytest.raises(ValueError, match="backend must be one of"):
        SSIMLoss(11, backend="fast")


def test_a_window_that_differs_from_end_to_end_is_left_to_torch():
    x, y = random_pair(8, 8)
    settings = kernels.Settings((0.5, 0.3, 0.2), "valid", 1e-4, 9e-4)
    assert kernels.choose("auto", x, y, settings) == "eager"
    with pytest.raises(RuntimeError, match="not the same from both ends"):
        kernels.choose("cpu", x, y, settings)


def test_more_elements_than_an_int32_counts():
    # 8.6 GB of addresses, of which a few rows are ever touched.
    try:
        storage = torch.empty(2**31 + 4096)
    except RuntimeError:
        pytest.skip("the system does not lend so many addresses")
    x = storage.as_strided((30, 32), (2**31 // 29, 1))
    x.copy_(random_pair(30, 32, dtype=torch.float32)[0])
    y = x.clone() * 0.9
    for ours, exact in zip(
        value_and_gradient(x, y, window=Window(padding="zero")),
        value_and_gradient(x.clone(), y, window=Window(padding="zero")),
        strict=True,
    ):
        assert torch.equal(ours, exact)


def test_compile_takes_a_training_step_whole():
    x, y = random_pair(2, 3, 30, 31, dtype=torch.float32)
    value, gradient = value_and_gradient(x, y)
    compiled = torch.compile(
        lambda a, b, data_range: dissimilarity(a, b, data_range=data_range, backend="cpu"),
        fullgraph=True,
        backend="aot_eager",
    )
    found, by_x = value_and_gradient(x, y, fn=compiled)
    assert torch.equal(found, value)
    assert torch.allclose(by_x, gradient, rtol=1e-6, atol=0)


# What has not been written yet is NaN here, and would spoil what is made of it.
UNWRITTEN = """
import numpy as np
import torch
from ssimlab import Window, dissimilarity
from ssimlab.kernels import cpu

empty = np.empty

def unwritten(*arguments):
    array = empty(*arguments)
    array[...] = np.nan
    return array

np.empty = unwritten
cpu.TILE = 36, 37  # smaller arrays
for size in SIZES:
    for padding, (height, width) in (("valid", (size, size + 1)), ("reflect", (17, 18))):
        x = torch.rand(height, width, generator=torch.manual_seed(0)).requires_grad_()
        window = Window(size, None, padding)
        y = x.detach().flip(-1)
        dissimilarity(x, y, data_range=1.0, window=window, backend="cpu").backward()
        assert x.grad.isfinite().all(), (size, padding)
print("finite")
"""


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 3, 5, 9, 11, 15),
        (31,),
        (33,),
    ],
    ids=str,
)
def test_no_number_is_read_before_it_is_written(sizes):
    code = UNWRITTEN.replace("SIZES", repr(sizes))
    assert run(code, NUMBA_DISABLE_JIT="1").stdout == "finite\n"
