"""Jacobians: the forum's demonstration with its verdicts, and SSIM's own."""

import pytest
import torch
from oracle import random_pair, relative_error

from ssimlab import Window, gradient, jacobian, reference
from ssimlab.jacobian import ramp_times_mean as fb
from ssimlab.jacobian import square as fa

AT = torch.arange(5, dtype=torch.float64)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def equal(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


def test_the_two_functions_have_one_gradient():
    for f in (fa, fb):
        assert equal(jacobian.gradient_of_sum(f, AT), vector(0, 2, 4, 6, 8))


def test_the_product_rule_on_gradients_is_wrong_and_on_vjps_right():
    of_a, of_b = (jacobian.gradient_of_sum(f, AT) for f in (fa, fb))
    by_rule = of_a * fb(AT) + fa(AT) * of_b
    truth = jacobian.gradient_of_sum(lambda x: fa(x) * fb(x), AT)
    assert equal(by_rule, vector(0, 0, 24, 108, 288))
    assert equal(truth, vector(40.8, 37.8, 52.8, 121.8, 280.8))
    assert equal(jacobian.product_gradient(fa, fb, AT), truth)


def test_the_six_verdicts_of_the_forum():
    of_a, of_b = (jacobian.gradient_of_sum(f, AT) for f in (fa, fb))
    j_a, j_b = (jacobian.full_jacobian(f, AT) for f in (fa, fb))
    truth = jacobian.gradient_of_sum(lambda x: fa(x) * fb(x), AT)
    verdicts = [
        equal(of_a, of_b),
        equal(j_a, j_b),
        equal(of_a, j_a.sum(0)),
        equal(of_b, j_b.sum(0)),
        equal(of_a * fb(AT) + fa(AT) * of_b, truth),
        equal(fb(AT) @ j_a + fa(AT) @ j_b, truth),
    ]
    assert verdicts == [True, False, True, True, False, True]


def test_the_functions_differ_at_another_point():
    x = AT + 1
    assert not equal(jacobian.gradient_of_sum(fa, x), jacobian.gradient_of_sum(fb, x))


def test_the_jacobians_of_the_two_functions():
    assert equal(jacobian.full_jacobian(fa, AT), torch.diag(2 * AT))
    ramp = torch.arange(5, dtype=torch.float64) - 1.5
    expected = torch.diag(ramp * 2) + (ramp * AT)[:, None] / 5
    assert equal(jacobian.full_jacobian(fb, AT), expected)


def test_the_quotient_rule_by_two_vjps():
    x = AT + 1

    def g(x):
        return 1 + fb(x) ** 2

    truth = jacobian.gradient_of_sum(lambda x: fa(x) / g(x), x)
    assert equal(jacobian.quotient_gradient(fa, g, x), truth)


def test_the_product_and_quotient_rules_hold_for_the_luminance_of_ssim():
    x, y = random_pair(9, 8)
    window, c1 = Window(3, padding="zero"), 1e-4
    mu_y = window(y)

    def above(x):
        return 2 * window(x) * mu_y + c1

    def below(x):
        return window(x) ** 2 + mu_y**2 + c1

    for rule, combined in (
        (jacobian.quotient_gradient, lambda x: above(x) / below(x)),
        (jacobian.product_gradient, lambda x: above(x) * below(x)),
    ):
        got = rule(above, below, x)
        assert relative_error(got, jacobian.gradient_of_sum(combined, x)) <= 1e-13


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_reverse_and_forward_mode_give_one_jacobian(padding):
    x, y = random_pair(8, 7)
    settings = {"data_range": 1.0, "window": Window(5, padding=padding)}
    reverse = jacobian.ssim_map_jacobian(x, y, **settings)
    forward = jacobian.ssim_map_jacobian(x, y, **settings, mode="forward")
    assert reverse.shape == (*settings["window"].output_size((8, 7)), 8, 7)
    assert relative_error(forward, reverse) <= 1e-12


@pytest.mark.parametrize("padding", ["valid", "reflect", "zero"])
def test_rows_are_receptive_fields_and_their_sum_is_the_gradient(padding):
    x, y = random_pair(9, 8)
    window = Window(5, padding=padding)
    settings = {"data_range": 1.0, "window": window}
    full = jacobian.ssim_map_jacobian(x, y, **settings)
    for i, j in ((0, 0), (2, 1)):
        one = torch.zeros(window.output_size((9, 8)), dtype=torch.float64)
        one[i, j] = 1
        seen = window.adjoint(one, (9, 8)) > 0
        assert torch.equal(full[i, j] != 0, seen)
        row = gradient.ssim_gradient(x, y, **settings, upstream=one)
        assert relative_error(row, full[i, j]) <= 1e-12
    total = gradient.ssim_gradient(x, y, **settings, upstream=1.0)
    assert relative_error(full.sum((0, 1)), total) <= 1e-12


def test_columns_are_what_one_pixel_does_to_the_map():
    x, y = random_pair(9, 8)
    settings = {"data_range": 1.0, "window": Window(5)}
    full = jacobian.ssim_map_jacobian(x, y, **settings)
    direction = torch.zeros_like(x)
    direction[4, 3] = 1

    def ssim_map(x):
        return reference.ssim(x, y, **settings, reduction="none")

    assert relative_error(jacobian.jvp(ssim_map, x, direction), full[..., 4, 3]) <= 1e-12


def test_jvp_and_vjp_are_adjoint_to_each_other():
    x, y = random_pair(2, 3, 12, 13)
    u = torch.randn(2, 3, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    v = torch.randn(2, 3, 12, 13, generator=torch.Generator().manual_seed(1)).double()

    def ssim_map(x):
        return reference.ssim(x, y, data_range=1.0, reduction="none")

    left = (u * jacobian.jvp(ssim_map, x, v)).sum().item()
    right = (v * jacobian.vjp(ssim_map, x, u)).sum().item()
    assert left == pytest.approx(right, rel=1e-12)
    full = jacobian.ssim_map_jacobian(x[0, 0], y[0, 0], data_range=1.0)
    assert (
        relative_error(
            jacobian.vjp(ssim_map, x, u)[0, 0], torch.einsum("ij,ijkl->kl", u[0, 0], full)
        )
        <= 1e-12
    )


def test_the_jacobian_of_a_batch_couples_nothing_between_images():
    x, y = random_pair(2, 5, 5)
    full = jacobian.ssim_map_jacobian(x, y, data_range=1.0, window=Window(3))
    assert full.shape == (2, 3, 3, 2, 5, 5)
    assert full[0, :, :, 1].abs().max() == 0
    assert full[1, :, :, 1].abs().max() > 0


def test_the_memory_of_a_jacobian_is_foretold():
    x = torch.zeros(32, 32, dtype=torch.float64)
    full = jacobian.ssim_map_jacobian(x[:12, :12], x[:12, :12], data_range=1.0)
    foretold = jacobian.jacobian_bytes((2, 2), x[:12, :12])
    assert foretold == full.numel() * full.element_size() == 2 * 2 * 12 * 12 * 8


def test_a_jacobian_above_the_limit_is_refused_before_it_is_made():
    x = torch.zeros(512, 512)
    message = (
        r"the Jacobian of shape \(502, 502, 512, 512\) would take 504,008 MiB, above the limit of "
        r"512 MiB: use a smaller image, raise limit, or ask for vjp or jvp, which never form it"
    )
    with pytest.raises(ValueError, match=message):
        jacobian.ssim_map_jacobian(x, x, data_range=1.0)
    small = torch.zeros(12, 12)
    with pytest.raises(ValueError, match="above the limit of 0 MiB"):
        jacobian.ssim_map_jacobian(small, small, data_range=1.0, limit=4607)
    assert jacobian.ssim_map_jacobian(small, small, data_range=1.0, limit=4608).numel() == 576


def test_rows_computed_one_by_one_are_the_same(monkeypatch):
    x, y = random_pair(12, 13)
    together = jacobian.ssim_map_jacobian(x, y, data_range=1.0)
    monkeypatch.setattr(jacobian, "CHUNK", 1)
    one_by_one = jacobian.ssim_map_jacobian(x, y, data_range=1.0)
    torch.testing.assert_close(one_by_one, together, rtol=1e-12, atol=1e-15)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match='mode must be "reverse" or "forward", not \'backward\''):
        jacobian.full_jacobian(fa, AT, mode="backward")
