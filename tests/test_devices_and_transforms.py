"""torch's transforms, memory layouts and devices: the same numbers through each of them."""

import shutil

import pytest
import torch
from oracle import random_pair, relative_error, truth, value_and_gradients

import ssimlab
from ssimlab import Window, dissimilarity, gradient, reference, ssim, stable

pytestmark = pytest.mark.usefixtures("every_backend")

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
needs_cpp = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="there is no C++ compiler"
)

DIFFERENTIABLE = [ssim, dissimilarity, reference.ssim]
WINDOWS = [Window(5), Window(5, None, "reflect"), Window(3, padding="zero")]
SETTINGS = {"data_range": 1.0, "window": Window(3)}

by_function = pytest.mark.parametrize(
    "fn", DIFFERENTIABLE, ids=["stable.ssim", "stable.dissimilarity", "reference.ssim"]
)


@pytest.mark.parametrize("fn", [ssim, reference.ssim], ids=["stable", "reference"])
def test_compile_gives_the_same_values_and_gradients(fn):
    torch.compiler.reset()
    compiled = torch.compile(fn, fullgraph=True, backend="aot_eager")
    x, y = random_pair(2, 5, 6, dtype=torch.float32)
    settings = {"data_range": 1.0, "window": Window(3, padding="reflect")}
    got = value_and_gradients(compiled, x, y, **settings)
    for a, b in zip(got, value_and_gradients(fn, x, y, **settings), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@needs_cpp
def test_the_default_compiler_keeps_the_accuracy():
    torch.compiler.reset()
    compiled = torch.compile(dissimilarity, fullgraph=True)
    x, y = random_pair(7, 7, offset=1e4, contrast=0.1, dtype=torch.float32)
    exact = 1 - truth(x, y, **SETTINGS)[0].mean()
    assert abs(compiled(x, y, **SETTINGS) - exact) <= 1e-6
    assert compiled(x, x, **SETTINGS) == 0


def test_a_compiled_function_still_refuses_a_forgotten_data_range():
    torch.compiler.reset()
    compiled = torch.compile(dissimilarity, backend="eager")
    x, y = random_pair(7, 7)
    with pytest.raises(TypeError, match="no default for data_range"):
        compiled(x, y)


@by_function
def test_grad_vmap_and_the_jacobians_of_torch_func(fn):
    x, y = random_pair(3, 5, 6)

    def mean(a, b):
        return fn(a, b, **SETTINGS)

    def each(transform):
        return torch.stack([transform(a, b) for a, b in zip(x, y, strict=True)])

    vmap, grad = torch.func.vmap, torch.func.grad
    torch.testing.assert_close(vmap(mean)(x, y), each(mean))
    torch.testing.assert_close(vmap(mean, (0, None))(x, y[0]), vmap(mean)(x, y[:1].expand_as(x)))
    for argnums in (0, 1):
        by_loop = each(grad(mean, argnums))
        torch.testing.assert_close(vmap(grad(mean, argnums))(x, y), by_loop)
        assert (
            relative_error(by_loop[0], value_and_gradients(fn, x[0], y[0], **SETTINGS)[1 + argnums])
            <= 1e-12
        )
    rows = torch.func.jacrev(lambda a: fn(a, y[0], **SETTINGS, reduction="none"))(x[0])
    columns = torch.func.jacfwd(lambda a: fn(a, y[0], **SETTINGS, reduction="none"))(x[0])
    torch.testing.assert_close(rows, columns)
    total = grad(lambda a: fn(a, y[0], **SETTINGS, reduction="none").sum())(x[0])
    torch.testing.assert_close(rows.sum((0, 1)), total)


@by_function
def test_jvp_and_vjp_are_adjoint(fn):
    x, y = random_pair(2, 6, 7)
    v, u = random_pair(2, 6, 7, seed=5)[0], random_pair(2, 4, 5, seed=6)[0]

    def ssim_map(a):
        return fn(a, y, **SETTINGS, reduction="none")

    _, pushed = torch.func.jvp(ssim_map, (x,), (v,))
    _, pull = torch.func.vjp(ssim_map, x)
    torch.testing.assert_close((u * pushed).sum(), (v * pull(u)[0]).sum())


@by_function
def test_hessians_agree_in_every_order_of_modes(fn):
    x, y = random_pair(4, 5)

    def mean(a):
        return fn(a, y, **SETTINGS)

    by_hessian = torch.func.hessian(mean)(x)
    by_reverse = torch.func.jacrev(torch.func.jacrev(mean))(x)
    by_double_backward = torch.autograd.functional.hessian(mean, x)
    torch.testing.assert_close(by_hessian, by_reverse)
    torch.testing.assert_close(by_hessian, by_double_backward)
    torch.testing.assert_close(by_hessian, by_hessian.permute(2, 3, 0, 1))


def test_the_stable_hessian_is_that_of_the_reference():
    for x, y in (random_pair(4, 5), (random_pair(4, 5)[0],) * 2):
        got = torch.func.hessian(lambda a, y=y: ssim(a, y, **SETTINGS))(x)
        expected = torch.func.hessian(lambda a, y=y: reference.ssim(a, y, **SETTINGS))(x)
        assert relative_error(got, expected) <= 1e-11


def test_gradients_of_an_expanded_image_are_added_up():
    x, y = random_pair(1, 12, 12)
    x.requires_grad_()
    dissimilarity(x.expand(4, 12, 12), y.expand(4, 12, 12), data_range=1.0).backward()
    expected = gradient.ssim_gradient(x.detach(), y, data_range=1.0)
    assert relative_error(-x.grad, expected) <= 1e-12


@by_function
def test_either_image_may_need_a_gradient(fn):
    x, y = random_pair(12, 12)
    _, by_x, by_y = value_and_gradients(fn, x, y, data_range=1.0)
    for needs_x, needs_y in ((True, False), (False, True)):
        a, b = x.clone().requires_grad_(needs_x), y.clone().requires_grad_(needs_y)
        fn(a, b, data_range=1.0).backward()
        assert torch.equal((a if needs_x else b).grad, by_x if needs_x else by_y)
        assert (b if needs_x else a).grad is None
    assert not fn(x, y, data_range=1.0).requires_grad


@by_function
def test_an_image_may_be_compared_with_a_function_of_itself(fn):
    x, _ = random_pair(6, 6)

    def loss(a):
        return fn(a, a.flip(-1) ** 2, **SETTINGS)

    assert torch.autograd.gradcheck(loss, x.requires_grad_())


def test_inference_mode_and_parameters_are_accepted():
    x, y = random_pair(12, 12, dtype=torch.float32)
    expected = ssim(x, y, data_range=1.0)
    with torch.inference_mode():
        assert ssim(x.clone(), y, data_range=1.0) == expected
    assert ssim(torch.nn.Parameter(x), y, data_range=1.0) == expected


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_shapes_and_dtypes_are_right_on_a_device_without_memory(window):
    x, y = (image.to("meta") for image in random_pair(2, 3, 9, 8, dtype=torch.float16))
    for fn, dtype in ((ssim, torch.float32), (reference.ssim, torch.float64)):
        values = fn(x, y, data_range=1.0, window=window, reduction="none")
        assert values.device.type == "meta"
        assert values.dtype == dtype
        assert values.shape == (2, 3, *window.output_size((9, 8)))


def test_one_image_of_a_batch_does_not_change_another():
    x, y = random_pair(3, 12, 12, dtype=torch.float32)
    alone = ssim(x[1:2], y[1:2], data_range=1.0, reduction="none")
    x[0], x[2] = torch.nan, 1e6
    together = ssim(x, y, data_range=1.0, reduction="none")
    assert torch.equal(together[1:2], alone)


@needs_cuda
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("offset", [0, 1e4])
def test_the_gpu_is_as_accurate_as_the_cpu(window, offset):
    x, y = random_pair(2, 20, 21, offset=offset, contrast=0.5, dtype=torch.float32)
    settings = {"data_range": 1.0, "window": window}
    expected, *exact = truth(x, y, **settings)
    values, *gradients = value_and_gradients(stable.ssim, x.cuda(), y.cuda(), **settings)
    assert values.is_cuda
    assert (values.double().cpu() - expected).abs().max() <= 1e-6
    for got, true in zip(gradients, exact, strict=True):
        assert relative_error(got.cpu(), true) <= 1e-5


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_autocast_and_tf32_change_nothing_on_the_gpu(dtype):
    x, y = (image.cuda() for image in random_pair(2, 20, 21, offset=1, contrast=0.1, dtype=dtype))
    outside = value_and_gradients(dissimilarity, x, y, data_range=1.0)
    with torch.autocast("cuda", dtype=torch.float16):
        inside = value_and_gradients(dissimilarity, x, y, data_range=1.0)
    for a, b in zip(inside, outside, strict=True):
        assert torch.equal(a, b)
    assert not dissimilarity(x, x, data_range=1.0)


@needs_cuda
def test_the_reference_and_the_closed_form_run_on_the_gpu():
    x, y = random_pair(2, 20, 21)
    for fn in (reference.ssim, reference.ssim_loops, reference.ssim_convolution, gradient.ssim):
        torch.testing.assert_close(
            fn(x.cuda(), y.cuda(), data_range=1.0).cpu(), fn(x, y, data_range=1.0)
        )
    got = gradient.ssim_gradient(x.cuda(), y.cuda(), data_range=1.0, upstream=0.5)
    assert (
        relative_error(got.cpu(), gradient.ssim_gradient(x, y, data_range=1.0, upstream=0.5))
        < 1e-12
    )


@needs_cuda
def test_images_on_two_devices_are_refused():
    x, y = random_pair(12, 12)
    with pytest.raises(ValueError, match="same device, not cuda:0 and cpu: move one of them"):
        ssimlab.ssim(x.cuda(), y, data_range=1.0)
