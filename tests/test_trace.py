"""The tracer names the operation, the cause and the line of the first non-finite number.

Each culprit's line carries a mark, a comment of one word at its end, which the trace has to quote.
"""

import ast
import html.parser
import io
import linecache
import sys
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from ssimlab.trace import Trace, first_nonfinite

NAN, INF = float("nan"), float("inf")
ZEROS, ONES = torch.zeros(3), torch.ones(3)


def assert_blames(trace, phase, operation, cause, mark=None):
    assert isinstance(trace, Trace)
    assert (trace.phase, trace.operation) == (phase, operation)
    assert cause in trace.cause
    assert trace.cure.endswith(".")
    if mark is not None:
        assert trace.file == __file__
        assert trace.code.endswith(f"# {mark}")


# Causes in the forward pass

FORWARD = {
    "0/0": (lambda x: x / x, 0.0, "div"),
    "division by zero": (lambda x: 3 * (1.5 / x), 0.0, "reciprocal"),
    "log of 0": (lambda x: x.log().exp(), 0.0, "log"),
    "log of a negative number": (lambda x: x.log2(), -2.0, "log2"),
    "square root of a negative number": (lambda x: x.sqrt(), -1e-9, "sqrt"),
    "power of a negative number": (lambda x: x**0.0448, -0.3, "pow"),
    "0 to a negative power": (lambda x: x**-0.5, 0.0, "pow"),
    "overflow of exp in float32": (lambda x: x.exp(), 89.0, "exp"),
    "overflow of float32, whose largest number is 3.40282e+38": (lambda x: x * x, 1e20, "mul"),
    "argument 1.5 outside the domain of acos": (lambda x: x.acos(), 1.5, "acos"),
    "var of too few numbers (0/0)": (lambda x: x[:1].var(), 1.0, "var"),
    "mean of no values (0/0)": (lambda x: x[:0].mean(), 1.0, "mean"),
    "softmax of a row that is all −inf": (
        lambda x: x.masked_fill(x == x, -INF).softmax(0),
        1.0,
        "softmax",
    ),
    "0·inf": (lambda x: (x * 0) * INF, 1.0, "mul"),
    "inf − inf": (lambda x: x.new_full((3,), INF) - x.new_full((3,), INF), 1.0, "sub"),
    "overflow of float16, whose largest number is 65504": (lambda x: x.half(), 7e4, "to"),
    "overflow of float32 inside of layer_norm": (
        lambda x: F.layer_norm(x, (3,)),
        1e30,
        "layer_norm",
    ),
    "singular matrix": (lambda x: torch.linalg.inv_ex(x[:1, None] * 0)[0], 1.0, "linalg_inv_ex"),
}


@pytest.mark.parametrize("cause", FORWARD)
def test_a_forward_cause_is_named(cause):
    fn, value, operation = FORWARD[cause]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of var, and goes on
        trace = first_nonfinite(fn, torch.tensor([value, 0.5, 0.5]))
    assert_blames(trace, "forward", operation, cause)
    assert trace.file == __file__


def test_the_index_the_operands_and_the_count_are_those_of_the_culprit():
    divisor = torch.tensor([[1.0, 2.0, 4.0], [4.0, 0.0, 0.0]])
    trace = first_nonfinite(lambda x, y: x / y, torch.full((2, 3), 5.0), divisor)
    assert (trace.index, trace.count, trace.shape) == ((1, 1), 2, (2, 3))
    assert trace.operands == {"self": 5.0, "other": 0.0}
    assert (trace.dtype, trace.value) == (torch.float32, INF)


def test_operands_that_are_broadcast_are_read_at_the_right_place():
    column = torch.tensor([[1.0], [0.0]])
    trace = first_nonfinite(lambda x, y: x / y, torch.tensor([5.0, 0.0]), column)
    assert (trace.index, trace.operands) == ((1, 0), {"self": 5.0, "other": 0.0})


def test_an_operation_in_place_is_read_before_it_overwrites():
    def standardize(x):
        x -= x.mean()
        x /= x.std(correction=0)  # flat
        return x

    trace = first_nonfinite(standardize, ONES)
    assert_blames(trace, "forward", "div", "0/0", "flat")
    assert trace.operands == {"self": 0.0, "other": 0.0}
    assert ONES.equal(torch.ones(3))


def test_a_sum_that_overflows_says_what_it_summed():
    trace = first_nonfinite(lambda x: x.sum(1), torch.full((2, 4), 3e38))
    assert_blames(trace, "forward", "sum", "overflow of float32")
    assert str(trace.operands["self"]) == "4 values, 3e+38 to 3e+38"


def test_memory_that_nobody_filled_is_told_from_a_computation():
    def careless(x):
        buffer = torch.empty(4)  # raw
        buffer.view(torch.int32).fill_(0x7FC00000)  # the bits of NaN may lie there
        buffer[:3] = x
        return buffer * 2

    assert_blames(first_nonfinite(careless, ONES), "forward", "empty", "memory", "raw")


def test_memory_that_is_filled_before_it_is_read_is_no_finding():
    def careful(x):
        buffer = torch.empty(3)
        buffer.view(torch.int32).fill_(0x7FC00000)
        return buffer.copy_(x) * 2

    assert first_nonfinite(careful, ONES) is None


# Causes in the backward pass

BACKWARD = {
    "sqrt, upstream 1": (lambda x: x.sqrt(), 0.0, "sqrt", "derivative of sqrt at 0 (division"),
    "sqrt, upstream 0": (lambda x: x.sqrt() * 0, 0.0, "sqrt", "derivative of sqrt at 0 (0/0)"),
    "power below 1": (lambda x: x**0.5, 0.0, "pow", "derivative of a power at 0"),
    "MS-SSIM weights": (
        lambda x: x ** torch.tensor([0.0448, 0.3, 0.3]),
        0.0,
        "pow",
        "derivative of a power at 0",
    ),
    "acos": (lambda x: x.acos(), 1.0, "acos", "edge of its domain"),
    "division": (lambda x: 1e-30 / x, 1e-30, "reciprocal", "overflow of float32"),
    "norm of squares": (lambda x: (x * 0).pow(2).sum().sqrt(), 1.0, "sqrt", "derivative of sqrt"),
}


@pytest.mark.parametrize("case", BACKWARD)
def test_a_backward_cause_names_the_forward_operation(case):
    fn, value, operation, cause = BACKWARD[case]
    x = torch.tensor([value, 0.5, 0.5])
    assert fn(x).isfinite().all()
    trace = first_nonfinite(fn, x)
    assert_blames(trace, "backward", operation, cause)
    assert trace.file == __file__
    assert trace.reached == ("the gradient of the input x",)


def test_the_gradient_that_reaches_a_square_root_through_a_where_is_zero_over_zero():
    def guarded(x):
        root = x.sqrt()  # root
        return torch.where(x > 0, root, 0).sum()

    trace = first_nonfinite(guarded, torch.tensor([4.0, 0.0]))
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0 (0/0)", "root")
    assert (trace.index, trace.operands) == ((1,), {"self": 0.0, "other": 0.0})
    assert "double where" in trace.cure


# What is hidden


@pytest.mark.parametrize(
    ("hide", "name"),
    [
        (lambda x, y: torch.where(x > 0, y, 0), "where"),
        (lambda x, y: torch.relu(y), "relu"),
        (lambda x, y: y.clamp(min=-10), "clamp"),
        (lambda x, y: y.masked_fill(x <= 0, 0), "masked_fill"),
    ],
)
def test_a_forward_infinity_that_is_hidden_and_poisons_the_gradient_is_a_forward_cause(hide, name):
    def fn(x):
        y = x.log()  # hidden
        return hide(x, y)

    x = torch.tensor([1.0, 0.0])
    assert fn(x).isfinite().all()
    trace = first_nonfinite(fn, x)
    assert_blames(trace, "forward", "log", "log of 0", "hidden")
    assert trace.index == (1,)
    assert name in trace.story[0]
    assert "hides it from the result, but not from its derivative" in trace.story[0]
    assert trace.reached == ("the gradient of the input x",)


def test_a_forward_overflow_that_returns_as_zero_times_infinity_is_a_forward_cause():
    def fn(x):
        y = x.exp()  # exp
        return torch.where(x < 80, y, x)

    trace = first_nonfinite(fn, torch.tensor([1.0, 100.0]))
    assert_blames(trace, "forward", "exp", "overflow of exp", "exp")
    assert any("derivative of exp: 0·inf" in sentence for sentence in trace.story)


def dead(x):
    return x.relu().pow(0.0448).prod()  # dead


def test_a_nan_that_relu_hides_from_the_gradient_is_explained_on_request_only():
    x = torch.tensor([-0.5, 2.0])
    assert first_nonfinite(dead, x) is None
    trace = first_nonfinite(dead, x, hidden=True)
    assert_blames(trace, "backward", "pow", "derivative of a power at 0", "dead")
    assert trace.reached == ()
    assert any("relu" in sentence and "hides" in sentence for sentence in trace.story)
    assert trace.story[-1] == "No result and no gradient shows it."


HARMLESS = {
    "an attention mask": lambda x: x.masked_fill(x > 0.5, -INF).softmax(0),
    "a mask that is added": lambda x: (x + torch.full((3, 3), -INF).triu(1)).softmax(-1),
    "the start of a running maximum": lambda x: torch.maximum(x, torch.full_like(x, -INF)),
    "an infinite clamp": lambda x: x.clamp(-INF, INF),
    "a norm at 0, whose derivative torch guards": lambda x: (x * 0).norm(),
    "a spread of 0, whose derivative torch guards": lambda x: (x * 0).std(),
    "a power with a tensor, whose derivative torch guards": lambda x: (x * 0) ** (x * 0 + 2),
    "padding with infinities": lambda x: F.pad(x, (1, 1), value=-INF).amax(),
    "a cosine of nothing": lambda x: F.cosine_similarity(x * 0, x, dim=0),
    "normalization": lambda x: F.layer_norm(x * 0, (3,)),
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("case", HARMLESS)
def test_infinities_that_do_no_harm_are_no_finding(case, hidden):
    assert first_nonfinite(HARMLESS[case], torch.tensor([0.1, 0.7, 0.4]), hidden=hidden) is None


def test_an_infinity_that_the_code_returns_is_reported_as_its_own():
    trace = first_nonfinite(lambda x: x.masked_fill(x > 0, -INF), ONES)
    assert_blames(trace, "forward", "masked_fill", "an infinity that the code itself puts there")


def test_a_fault_beside_a_mask_is_not_blamed_on_the_mask():
    def fn(x):
        scores = (x - 1).log() + torch.tensor([0.0, -INF, 0.0])  # scores
        return scores.softmax(0)

    trace = first_nonfinite(fn, torch.tensor([0.5, 2.0, 2.0]))
    assert_blames(trace, "forward", "log", "log of a negative number", "scores")


# Inputs


def test_a_poisoned_pixel_is_found_in_the_input_and_in_the_picture():
    image = torch.rand(2, 3, 16, 16)
    image[1, 2, 5, 7] = NAN
    trace = first_nonfinite(lambda picture: F.avg_pool2d(picture, 3).mean(), image)
    assert_blames(trace, "input", "avg_pool2d", "NaN in the input picture")
    assert (trace.index, trace.count) == ((1, 2, 5, 7), 1)
    assert "row 5 and column 7" in trace.picture.alt
    assert "Slice [1, 2]" in trace.picture.alt


def test_an_input_in_a_list_or_by_keyword_has_its_name():
    def fn(images, *, target):
        return sum(image.sum() for image in images) + target.sum()

    bad = torch.tensor([INF, 1.0, 1.0])
    assert "the input images[1]" in first_nonfinite(fn, [ONES, bad], target=ONES).cause
    assert "the input target" in first_nonfinite(fn, [ONES, ONES], target=bad).cause


def test_a_parameter_that_is_not_finite_has_its_name():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    with torch.no_grad():
        model[1].weight[0, 1] = NAN
    trace = first_nonfinite(model, torch.rand(5, 3))
    assert_blames(trace, "input", "addmm", "NaN in the parameter 1.weight")
    assert trace.reached == ("the result",)

    def step(x):
        return model(x).mean()  # uses

    trace = first_nonfinite(step, torch.rand(5, 3))
    assert_blames(trace, "input", "addmm", "NaN in the parameter model.1.weight", "uses")


def test_an_input_that_is_returned_as_it_is_is_reported_without_a_line():
    trace = first_nonfinite(lambda x: x, torch.tensor([NAN]))
    assert (trace.phase, trace.operation, trace.line) == ("input", "", None)
    assert "NaN in the input x" in str(trace)


def test_a_mapping_stays_what_it_was():
    def fn(batch):
        assert type(batch) is OrderedDict
        return batch["image"].log()

    batch = OrderedDict(image=ZEROS)
    assert "log of 0" in first_nonfinite(fn, batch).cause
    assert batch["image"] is ZEROS


# Modules, training steps, and other people's ways of running code


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.norm = torch.nn.GroupNorm(4, 4, eps=0)

    def forward(self, x):
        features = self.norm(self.conv(x))  # norm
        return features.relu().mean()


def test_a_module_is_traced_to_the_line_of_its_forward():
    trace = first_nonfinite(Net(), torch.zeros(2, 1, 8, 8))
    assert_blames(trace, "forward", "group_norm", "flat patch with eps = 0", "norm")
    assert trace.line_of_code.function == "forward"


def training_step(model, optimizer, images, loss):
    optimizer.zero_grad()
    value = loss(model(images))
    value.backward()
    optimizer.step()
    return value.item()


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_a_whole_training_step_is_traced(make):
    model = torch.nn.Linear(3, 1)

    def loss(prediction):
        distance = (prediction - prediction).pow(2).sum().sqrt()  # distance
        return distance + prediction.mean()

    trace = first_nonfinite(
        training_step, model, make(model.parameters()), torch.rand(4, 3), loss, requires_grad=False
    )
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0", "distance")
    assert "the gradient of the parameter model.weight" in trace.reached
    assert not model.weight.isfinite().all()  # the step was done, as it would have been


def test_a_healthy_training_step_is_no_finding_and_is_done():
    model = torch.nn.Linear(3, 1)
    before = model.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters())
    step = (training_step, model, optimizer, torch.rand(4, 3), torch.mean)
    assert first_nonfinite(*step, requires_grad=False) is None
    assert not torch.equal(model.weight, before)


def test_an_update_that_divides_by_zero_is_found_behind_finite_gradients():
    model = torch.nn.Linear(3, 1)

    def step(x):
        loss = (model(x) * 0).mean()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= p.grad / p.grad.norm()  # update
        model.zero_grad()
        return loss

    trace = first_nonfinite(step, torch.rand(4, 3))
    assert_blames(trace, "forward", "div", "0/0", "update")
    assert "the parameter model.weight" in trace.reached


def test_a_bad_gradient_is_found_though_the_step_clears_it():
    model = torch.nn.Linear(3, 1)

    def step(x):
        (model(x) * 0).pow(2).sum().sqrt().backward()  # step
        model.zero_grad()

    assert_blames(first_nonfinite(step, ONES), "backward", "sqrt", "derivative of sqrt", "step")


def test_a_loss_that_is_read_into_python_is_followed():
    trace = first_nonfinite(lambda x: (x / x).mean().item(), ZEROS)
    assert_blames(trace, "forward", "div", "0/0")

    def rescaled(x):
        scale = 1 / x.norm()  # scale
        return x * scale.item()

    assert_blames(first_nonfinite(rescaled, ZEROS), "forward", "reciprocal", "zero", "scale")


def test_results_in_containers_are_looked_at():
    @dataclass
    class Output:
        parts: dict

    trace = first_nonfinite(lambda x: Output({"a": [x, (x / x).sum()]}), ZEROS)
    assert trace.reached == ("the result.parts['a'][1]",)


def test_an_assertion_on_the_result_does_not_hide_the_cause():
    def checked(x):
        ratio = x / x  # ratio
        assert ratio.isfinite().all(), "loss is not finite"
        return ratio

    trace = first_nonfinite(checked, ZEROS)
    assert_blames(trace, "forward", "div", "0/0", "ratio")
    assert trace.story[-1] == "The function then stopped with AssertionError: loss is not finite"


def test_other_exceptions_come_out_as_they_are():
    with pytest.raises(KeyError, match="nothing"):
        first_nonfinite(lambda x: {}["nothing"], ONES)
    with pytest.raises(TypeError, match="fn must be something to call, not Tensor"):
        first_nonfinite(ONES.log())


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_function_is_traced(reentrant):
    def block(x):
        return torch.where(x > 0, x.sqrt(), 0)  # block

    def fn(x):
        return checkpoint(block, x * 1, use_reentrant=reentrant).sum()

    trace = first_nonfinite(fn, torch.tensor([1.0, 0.0]))
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0 (0/0)", "block")


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        length = x.pow(2).sum().sqrt()
        ctx.save_for_backward(x, length)
        return length

    @staticmethod
    def backward(ctx, grad):
        x, length = ctx.saved_tensors
        return grad * (x / length)  # by hand


class Ratio(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x / x  # inside

    @staticmethod
    def backward(ctx, grad):
        return grad


class Unseen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = torch.empty_like(x)
        out.numpy()[:] = NAN  # as a kernel would
        return out

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_a_function_with_a_derivative_by_hand_is_named():
    trace = first_nonfinite(lambda x: Norm.apply(x), ZEROS)
    assert_blames(trace, "backward", "Norm", "0/0", "by hand")
    assert trace.aten == "aten.div.Tensor"
    assert_blames(
        first_nonfinite(lambda x: Ratio.apply(x), ZEROS), "forward", "Ratio", "0/0", "inside"
    )


def test_a_kernel_that_torch_cannot_see_is_one_step():
    trace = first_nonfinite(lambda x: Unseen.apply(x) * 2, ONES)
    assert_blames(trace, "forward", "Unseen", "in code that torch cannot see")
    assert trace.file == __file__


def test_a_hook_on_a_gradient_is_traced_to_its_own_line():
    def fn(x):
        y = x * 2
        y.register_hook(lambda grad: grad / grad.sum())  # hook
        return (y * 0).sum()

    assert_blames(first_nonfinite(fn, ONES), "backward", "div", "0/0", "hook")


def test_a_gradient_penalty_is_traced_through_the_second_derivative():
    def penalty(x):
        value = x.pow(1.5).sum()  # once
        (grad,) = torch.autograd.grad(value, x, create_graph=True)
        return grad.sum()

    trace = first_nonfinite(penalty, ZEROS)
    assert_blames(trace, "backward", "pow", "derivative of a power at 0", "once")


def test_a_function_that_used_its_graph_up_is_not_run_backward_again():
    def fn(x):
        value = x.sin().exp().sum()
        torch.autograd.grad(value, x)
        return value

    assert first_nonfinite(fn, ONES) is None


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: torch.func.grad(lambda x: f(x).sum()),
        torch.func.jacrev,
        lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x).sum())),
    ],
)
def test_derivatives_by_torch_func_are_traced(transform):
    def root(x):
        return x.sqrt()  # func

    trace = first_nonfinite(lambda x: transform(root)(x), ZEROS)
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0", "func")


def test_forward_mode_is_traced_to_the_line():
    def slope(x):
        return torch.func.jvp(torch.sqrt, (x,), (torch.ones_like(x),))[1]  # forward mode

    trace = first_nonfinite(slope, ZEROS, requires_grad=False)
    assert_blames(trace, "forward", "div", "division by zero", "forward mode")


def test_a_compiled_function_is_traced_as_the_python_it_came_from():
    @torch.compile(backend="eager")
    def fn(x):
        return torch.where(x > 0, x.sqrt(), 0).sum()  # compiled

    fn(ONES)
    assert_blames(first_nonfinite(fn, ZEROS), "backward", "sqrt", "(0/0)", "compiled")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_is_traced_in_the_dtype_that_it_chose(dtype):
    layer = torch.nn.Linear(4, 2)
    large = 1e5 if dtype is torch.float16 else 3.4e38

    def fn(x):
        with torch.autocast("cpu", dtype):
            return layer(x)  # cast

    trace = first_nonfinite(fn, torch.full((1, 4), large))
    name = str(dtype).removeprefix("torch.")
    assert_blames(trace, "forward", "to", f"overflow of {name}", "cast")
    assert trace.dtype == dtype


def test_a_gradient_that_overflows_float16_is_a_backward_cause():
    def fn(x):
        with torch.autocast("cpu", torch.float16):
            return (F.linear(x, torch.full((2, 3), 300.0)).float() * 1e3).sum()  # half

    trace = first_nonfinite(fn, torch.full((1, 3), 0.1))
    assert_blames(trace, "backward", trace.operation, "overflow of float16", "half")


def test_float64_and_complex_numbers_are_traced_too():
    trace = first_nonfinite(lambda x: x.log(), torch.zeros(2, dtype=torch.float64))
    assert_blames(trace, "forward", "log", "log of 0")
    trace = first_nonfinite(lambda x: (1 / torch.fft.fft(x)).abs(), ZEROS)
    assert_blames(trace, "forward", "reciprocal", "division by zero")


def test_a_sparse_gradient_is_looked_at():
    table = torch.nn.Embedding(4, 2, sparse=True)

    def fn(i):
        return (table(i) * 0).pow(2).sum().sqrt()  # sparse

    trace = first_nonfinite(fn, torch.tensor([1, 2]))
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0", "sparse")
    assert "the gradient of the parameter table.weight" in trace.reached


STEPS = [
    lambda x: x.sqrt(),
    lambda x: x.log(),
    lambda x: x.exp(),
    lambda x: x * 1e20,
    lambda x: x / x.mean(),
    lambda x: x - x.mean(-1, keepdim=True),
    lambda x: x.relu(),
    lambda x: x**0.3,
    lambda x: torch.where(x > 0, x, 0),
    lambda x: x.clamp(-1, 1),
    lambda x: F.avg_pool2d(x[None], 3, 1, 1)[0],
    lambda x: x.softmax(-1),
    lambda x: x.masked_fill(x > 1, -INF).softmax(-1),
    lambda x: x.std(-1, keepdim=True) * x,
    lambda x: x @ x.T,
    lambda x: x.half().float(),
    lambda x: x.square(),
]


@pytest.mark.parametrize("seed", range(60))
def test_there_is_a_trace_if_and_only_if_something_is_not_finite(seed):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(STEPS), (4,), generator=generator).tolist()
    x = torch.randn(6, 6, generator=generator).relu()

    def fn(x):
        for i in chosen:
            x = STEPS[i](x)
        return x

    leaf = x.clone().requires_grad_()
    result = fn(leaf)
    result.sum().backward()
    trace = first_nonfinite(fn, x)
    assert (trace is None) == bool(result.isfinite().all() and leaf.grad.isfinite().all())
    if trace is not None:
        assert trace.phase in ("forward", "backward")
        assert trace.file == __file__
        assert "inf" not in trace.cause or "masked_fill" in trace.code
        assert "unknown" not in trace.cause


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("fn", [lambda x: x / x, lambda x: torch.where(x > 0, x.sqrt(), 0)])
def test_a_gpu_gives_the_same_trace_as_the_cpu(fn):
    x = torch.rand(3, 5, 5)
    x[1, 2, 3] = 0
    on_gpu, on_cpu = first_nonfinite(fn, x.cuda()), first_nonfinite(fn, x)
    assert str(on_gpu) == str(on_cpu)


# The caller's things stay as they are


def test_nothing_of_the_callers_is_changed():
    x, y = torch.rand(3), torch.rand(3, requires_grad=True)
    y.grad = torch.ones(3)
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = kept = torch.full((3,), 7.0)
    before = x.clone(), y.detach().clone()
    assert first_nonfinite(lambda a, b: a.mul_(b).sum() * weight.sqrt().sum(), x, y) is None
    assert (x.requires_grad, x.grad) == (False, None)
    assert torch.equal(x, before[0])
    assert torch.equal(y.detach(), before[1])
    assert torch.equal(y.grad, torch.ones(3))
    assert weight.grad is kept
    assert torch.equal(kept, torch.full((3,), 7.0))
    assert not weight._post_accumulate_grad_hooks


def test_inputs_without_a_gradient_stay_so_on_request():
    def fn(x):
        assert not x.requires_grad
        return x.sqrt()

    assert first_nonfinite(fn, ZEROS, requires_grad=False) is None


def test_a_gradient_that_the_caller_did_not_ask_for_is_no_finding():
    prediction, target = torch.tensor([0.0, 0.5]), torch.ones(2)
    trace = first_nonfinite(F.binary_cross_entropy, prediction, target)
    assert trace.reached == ("the gradient of the input target",)
    assert first_nonfinite(F.binary_cross_entropy, prediction.requires_grad_(), target) is None


@pytest.mark.parametrize(
    "fn", [torch.log, torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Softmax(0))]
)
def test_where_all_the_code_is_torchs_the_callers_line_is_named(fn):
    trace = first_nonfinite(fn, torch.tensor([INF, 0.0]))  # caller
    assert trace.code.endswith("# caller")


def test_an_input_can_be_used_as_the_callers_own():
    def step(x):
        x.requires_grad_()
        x.sqrt().sum().backward()
        assert x.grad.isinf().all()
        return x.grad

    trace = first_nonfinite(step, ZEROS)
    assert_blames(trace, "backward", "sqrt", "derivative of sqrt at 0 (division by zero)")


def test_the_tracer_leaves_no_mode_behind():
    with pytest.raises(ValueError, match="mine"):
        first_nonfinite(_raise, ONES)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert torch.autograd.is_multithreading_enabled()


def _raise(x):
    raise ValueError("mine")


def test_the_tracer_imports_nothing_but_torch_and_the_jinja2_that_torch_brings():
    folder = Path(first_nonfinite.__code__.co_filename).parent
    allowed = {*sys.stdlib_module_names, "torch", "jinja2"}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{path.name} imports from outside of the tracer"
                names += [node.module] if node.level == 0 else []
            assert {name.split(".")[0] for name in names} <= allowed, path.name


# Other people's libraries


def test_torchmetrics_on_constant_images_without_a_data_range():
    ssim = pytest.importorskip("torchmetrics.functional.image").structural_similarity_index_measure

    flat = torch.full((1, 1, 16, 16), 0.5)
    trace = first_nonfinite(lambda x: ssim(x, flat, data_range=None), flat)  # torchmetrics
    assert_blames(trace, "forward", "div", "0/0")
    assert "# torchmetrics" in trace.code
    assert trace.inner.where.startswith("torchmetrics/functional/image/ssim.py:")
    assert trace.inner.code.startswith("ssim_idx_full_image")
    assert trace.picture.alt.startswith("Slice [0, 0] of the tensor of shape 1 × 1 × 16 × 16: 256")


@pytest.fixture(scope="module")
def noise():
    return torch.rand(1, 1, 180, 180, generator=torch.Generator().manual_seed(1))


def test_torchmetrics_ms_ssim_of_negative_covariances(noise):
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    ms_ssim = torchmetrics.multiscale_structural_similarity_index_measure

    def loss(x):
        return ms_ssim(x, 1 - noise, data_range=1.0, normalize=None)  # negative

    trace = first_nonfinite(loss, noise)
    assert_blames(trace, "forward", "pow", "power of a negative number", "negative")
    assert trace.operands["self"] < 0
    assert trace.operands["exponent"] == pytest.approx(0.0448)
    assert "**betas" in trace.inner.code


def test_the_dead_gradient_of_pytorch_msssim_is_explained(noise):
    ms_ssim = pytest.importorskip("pytorch_msssim").ms_ssim

    def loss(x):
        return ms_ssim(x, 1 - noise, data_range=1.0)  # dead gradient

    assert first_nonfinite(loss, noise) is None
    trace = first_nonfinite(loss, noise, hidden=True)
    assert_blames(trace, "backward", "pow", "derivative of a power at 0", "dead gradient")
    assert "** weights" in trace.inner.code
    assert any("derivative of relu" in sentence for sentence in trace.story)


def test_a_poisoned_pixel_under_kornia_is_found_in_the_input():
    ssim_loss = pytest.importorskip("kornia.losses").ssim_loss

    image = torch.rand(1, 1, 32, 32)
    image[0, 0, 10, 12] = NAN
    trace = first_nonfinite(ssim_loss, image, torch.ones(1, 1, 32, 32), 11)
    assert_blames(trace, "input", "reflection_pad2d", "NaN in the input img1")
    # No line of the user's stands between the tracer and kornia.
    assert trace.line_of_code.where.startswith("kornia/filters/filter.py:")
    assert trace.inner is None


def test_the_mean_of_the_empty_map_of_kornia():
    ssim_loss = pytest.importorskip("kornia.losses").ssim_loss

    small = torch.rand(1, 1, 10, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = first_nonfinite(lambda x: ssim_loss(x, small, 11, padding="valid"), small)
    assert_blames(trace, "forward", "mean", "mean of no values (0/0)")


def test_the_forms_of_this_package_count_as_a_library():
    from ssimlab import naive

    black = torch.zeros(1, 1, 16, 16)
    trace = first_nonfinite(lambda x: naive.product_form(x, black, data_range=1e-30), black)  # form
    assert_blames(trace, "forward", "div", "0/0", "form")
    assert trace.inner.where.startswith("ssimlab/naive.py:")


# Anomaly mode


def anomaly(fn, x):
    """What torch's anomaly mode says: None, or its message and the forward lines it blames."""
    x = x.clone().requires_grad_()
    with warnings.catch_warnings(record=True) as caught, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        try:
            fn(x).sum().backward()
        except RuntimeError as error:
            return str(error) + "".join(str(warning.message) for warning in caught)
    return None


SILENT = {
    "an infinite gradient": (
        lambda x: x.sqrt(),  # culprit
        0.0,
        ("backward", "sqrt", "derivative of sqrt at 0"),
    ),
    "a NaN whose gradient is finite": (
        lambda x: x.log(),  # culprit
        -1.0,
        ("forward", "log", "log of a negative number"),
    ),
    "an infinite loss": (
        lambda x: (x * 1e20).square(),  # culprit
        1.0,
        ("forward", "pow", "overflow of float32"),
    ),
    "an overflow in a cast": (
        lambda x: x.half().float(),  # culprit
        1e5,
        ("forward", "to", "overflow of float16"),
    ),
}


@pytest.mark.parametrize("case", SILENT)
def test_anomaly_mode_is_silent_where_the_tracer_is_not(case):
    fn, value, blamed = SILENT[case]
    x = torch.full((3,), value)
    assert anomaly(fn, x) is None
    assert_blames(first_nonfinite(fn, x), *blamed, "culprit")


def test_anomaly_mode_is_silent_on_an_update_that_divides_by_zero():
    weight = torch.ones(3, requires_grad=True)

    def step(x):
        loss = (weight * x * 0).sum()
        (grad,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight.sub_(grad / grad.norm())  # culprit
        return x * 0

    assert anomaly(step, ONES) is None
    with torch.no_grad():
        weight.fill_(1.0)
    assert_blames(first_nonfinite(step, ONES), "forward", "div", "0/0", "culprit")


def softmax_by_hand(x):
    e = x.exp()  # culprit
    return e / e.sum()  # victim


def weighted_under_no_grad(x):
    with torch.no_grad():
        weight = x / x.sum()  # culprit
    return (x * weight).square()  # victim


def product_of_a_hidden_infinity(x):
    scale = 1 / x.detach().norm()  # culprit
    return (x * scale).square()  # victim


@pytest.mark.parametrize(
    ("fn", "value", "blamed"),
    [
        (softmax_by_hand, 100.0, ("forward", "exp", "overflow of exp")),
        (weighted_under_no_grad, 0.0, ("forward", "div", "0/0")),
        (product_of_a_hidden_infinity, 0.0, ("forward", "reciprocal", "division by zero")),
    ],
)
def test_anomaly_mode_blames_the_victim_where_the_tracer_blames_the_culprit(fn, value, blamed):
    x = torch.full((3,), value)
    said = anomaly(fn, x)
    assert "# victim" in said
    assert "# culprit" not in said
    assert_blames(first_nonfinite(fn, x), *blamed, "culprit")


def test_anomaly_mode_blames_an_innocent_line_for_a_poisoned_pixel():
    def innocent(x):
        return x.square()  # innocent

    x = torch.tensor([1.0, NAN])
    assert "# innocent" in anomaly(innocent, x)
    trace = first_nonfinite(innocent, x)
    assert_blames(trace, "input", "pow", "NaN in the input x")
    assert trace.index == (1,)


def test_anomaly_mode_raises_a_false_alarm_where_the_gradient_is_finite():
    x = torch.tensor([-0.5, -0.5, 2.0])
    leaf = x.clone().requires_grad_()
    dead(leaf).backward()
    assert leaf.grad.isfinite().all()
    assert "PowBackward0" in anomaly(dead, x)
    assert first_nonfinite(dead, x) is None


# How it shows itself


@pytest.fixture
def shown():
    divisor = torch.ones(2, 12, 16)
    divisor[1, 3:5, 7] = 0
    return first_nonfinite(lambda x: (x / divisor) * (x < 2), torch.ones(2, 12, 16))


def test_the_text_marks_the_expression_and_says_all(shown):
    lines = str(shown).split("\n")
    assert lines[0] == "inf made in the forward pass, by div: division by zero"
    assert lines[1].split() == ["at", f"test_trace.py:{shown.line}"]
    if shown.line_of_code.columns is not None:  # Python 3.11 on
        start = lines[3].index("^")
        assert lines[2][start : start + lines[3].count("^")] == "x / divisor"
    assert "first at [1, 3, 7], 2 of 384 not finite" in str(shown)
    assert "self = 1, other = 0" in str(shown)
    assert repr(shown).startswith("<Trace: inf made in the forward pass, by div")


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_card_is_sound_html_of_its_own_classes_without_a_script(shown):
    card = shown._repr_html_()
    tags = Tags(card)
    assert tags.open == []
    assert "script" not in [tag for tag, _ in tags.seen]
    classes = [a["class"] for _, a in tags.seen if "class" in a]
    assert classes
    assert all(name.startswith("ssimlab-") for names in classes for name in names.split())
    assert "(x &lt; 2)" in card
    assert "http" not in card
    style = card[card.index("<style>") + len("<style>") : card.index("</style>")]
    rules = [line for line in style.split("\n") if line.endswith("{")]
    assert len(rules) > 10
    assert all(rule.startswith((".ssimlab-card", ".ssimlab-trace")) for rule in rules)


def test_the_picture_shows_where_it_struck(shown):
    Image = pytest.importorskip("PIL.Image")

    (image,) = [a for tag, a in Tags(shown._repr_html_()).seen if tag == "img"]
    assert image["alt"] == shown.picture.alt
    assert "2 of 192 numbers are not finite, in rows 3 to 4 and column 7" in shown.picture.alt
    pixels = Image.open(io.BytesIO(shown.picture.png))
    assert pixels.size == (16, 12)
    struck = {(x, y) for x in range(16) for y in range(12) if pixels.getpixel((x, y))[0] == 213}
    assert struck == {(7, 3), (7, 4)}


def test_one_struck_pixel_of_a_large_image_survives_in_the_picture():
    Image = pytest.importorskip("PIL.Image")

    x = torch.ones(1000, 700)
    x[123, 456] = 0
    picture = first_nonfinite(torch.log, x).picture
    pixels = Image.open(io.BytesIO(picture.png))
    assert pixels.size == (88, 125)
    assert pixels.getpixel((456 // 8, 123 // 8)) == (213, 94, 0)
    assert pixels.getpixel((456 // 8 - 3, 123 // 8)) == (86, 180, 233)  # a frame leads the eye


def test_a_tensor_without_rows_and_columns_has_no_picture():
    trace = first_nonfinite(torch.log, ZEROS)
    assert trace.picture is None
    assert "<img" not in trace._repr_html_()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/tmp/ipykernel_12/3456.py", "a notebook cell, line 2, in f"),
        ("<ipython-input-5-8d6f>", "cell [5], line 2, in f"),
        ("/somewhere/else/train.py", "train.py:2, in f"),
    ],
)
def test_a_place_is_told_without_the_folders_of_the_machine(name, shown, monkeypatch):
    source = "def f(x):\n    return x / x\n"
    monkeypatch.setitem(linecache.cache, name, (len(source), None, source.splitlines(True), name))
    cell = {}
    exec(compile(source, name, "exec"), cell)
    trace = first_nonfinite(cell["f"], ZEROS)
    assert (trace.file, trace.line, trace.code) == (name, 2, "return x / x")
    assert trace.line_of_code.where == shown
    assert "/tmp" not in trace._repr_html_()
