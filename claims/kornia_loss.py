"""Claims of the page "Implementation: Kornia SSIM loss"."""

from __future__ import annotations

import inspect
import math

import torch
import torch.nn.functional as F

from ssimlab import reference
from ssimlab.window import Window

from .measuring import largest, nans, normal, peer, uniform, value_and_gradient
from .registry import Finding, Verdict, claims_of, show

HOLDS, CONDITIONAL, FALSE = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.FALSE

claim = claims_of("page-kornia-loss")


def losses():
    """kornia's loss, as a function and as a module."""
    module = peer("kornia.losses")
    return module.ssim_loss, module.SSIMLoss


def images(side=64, seed=0, dtype=torch.float32):
    """Two random images, (1, 3, side, side)."""
    return uniform(2, 1, 3, side, side, seed=seed, dtype=dtype)


def example_images():
    """The page's two images, (1, 4, 5, 5)."""
    return uniform(2, 1, 4, 5, 5, dtype=torch.float32)


def raised(call) -> str:
    """The name of the exception that a call raises, or "none"."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "none"


@claim(
    "4.1",
    "As printed, loss(x, y) = 1SSIM(x, y)2.",
    kind="formula",
    concept="training",
    expected=FALSE,
)
def printed_formula():
    """Two ways to read the printed formula, and (1 - SSIM) / 2, against the loss."""
    ssim_loss, _ = losses()
    x, y = images()
    ssim = peer("kornia.metrics").ssim(x, y, 11)
    loss = ssim_loss(x, y, 11, reduction="none")
    readings = {"1 · SSIM · 2": 2 * ssim, "1 · SSIM²": ssim**2}
    errors = {name: largest(value - loss) for name, value in readings.items()}
    right = largest((1 - ssim) / 2 - loss)
    return Finding(
        trials={f"{name}, to 1e-6": error < 1e-6 for name, error in errors.items()},
        figures={f"largest difference, {name}": error for name, error in errors.items()}
        | {"largest difference, (1 - SSIM) / 2": right},
        explanation=f"A minus and a fraction bar are lost. The loss is (1 - SSIM) / 2, to "
        f"{show(right)}.",
    )


@claim(
    "4.2",
    "The loss is clamped to [0, 1].",
    kind="behavior",
    concept="failures",
    expected=HOLDS,
)
def clamped():
    """Where the map leaves [-1, 1]: what the clamp does to values, NaN and gradients."""
    ssim_loss, _ = losses()
    window = Window(padding="reflect")
    texture = normal(2, 1, 1, 64, 64, seed=1)
    trials, figures = {}, {}
    for offset in (0.0, 1e3, 1e4):
        x, y = (offset + 0.05 * texture).float()
        outside = peer("kornia.metrics").ssim(x, y, 11)
        loss = ssim_loss(x, y, 11, reduction="none")
        true = (1 - reference.ssim(x, y, data_range=1.0, window=window)).item() / 2
        trials[f"offset {show(offset)}: all of the map in [0, 1]"] = bool(
            ((loss >= 0) & (loss <= 1)).all()
        )
        figures[f"share of pixels clamped at {show(offset)}"] = (
            ((outside > 1) | (outside < -1)).double().mean().item()
        )
        figures[f"loss at {show(offset)}"] = loss.mean().item()
        figures[f"true loss at {show(offset)}"] = true
    poisoned = x.clone()
    poisoned[..., 5, 5] = math.nan
    figures["NaN pixels of the map after one NaN pixel"] = nans(
        ssim_loss(poisoned, y, 11, reduction="none")
    )
    return Finding(
        trials=trials,
        figures=figures,
        explanation="It is, pixel by pixel. At an offset of 1e4 "
        f"{show(100 * figures['share of pixels clamped at 10,000'])} % of the map is garbage that "
        "the clamp makes plausible and takes the gradient from: a loss of "
        f"{show(figures['loss at 10,000'])} where {show(figures['true loss at 10,000'])} is true. "
        "NaN passes through.",
    )


@claim(
    "4.3",
    "The output lies in [0, 1], a scalar for mean and sum.",
    kind="behavior",
    concept="training",
    expected=CONDITIONAL,
)
def output_range():
    """All three reductions of one pair."""
    ssim_loss, _ = losses()
    x, y = images(32)
    results = {r: ssim_loss(x, y, 11, reduction=r) for r in ("mean", "sum", "none")}
    return Finding(
        trials={
            f"{name}: in [0, 1]": bool(((v >= 0) & (v <= 1)).all()) for name, v in results.items()
        }
        | {f"{name}: a scalar": results[name].ndim == 0 for name in ("mean", "sum")},
        figures={f"largest value, {name}": v.max().item() for name, v in results.items()},
        condition='the reduction is "mean" or "none": a sum is as large as the image',
        explanation=f"The sum of this pair of 32 x 32 images is {show(results['sum'].item())}.",
    )


@claim(
    "4.4",
    'With reduction "none" the output is per pixel.',
    kind="behavior",
    concept="training",
    expected=CONDITIONAL,
)
def per_pixel():
    """The shapes of the map under both paddings."""
    ssim_loss, _ = losses()
    x, y = images()
    shapes = {
        p: tuple(ssim_loss(x, y, 11, reduction="none", padding=p).shape) for p in ("same", "valid")
    }
    return Finding(
        trials={f"{p}: one value for each pixel": s == tuple(x.shape) for p, s in shapes.items()},
        figures={f"shape for (1, 3, 64, 64), {p}": list(s) for p, s in shapes.items()},
        condition='the padding is "same"; "valid" has one for each window that fits',
        explanation=f"The map is {list(shapes['same'])} with same and {list(shapes['valid'])} "
        "with valid padding.",
    )


@claim(
    "4.5",
    'Padding "same" gives output of the input\'s size.',
    kind="behavior",
    concept="seeing",
    expected=CONDITIONAL,
)
def same_size():
    """Sizes from 4 to 64 pixels with window 11; and what the padding is."""
    ssim_loss, _ = losses()
    outcome = {}
    for side in (4, 5, 6, 11, 64):
        x, y = images(side)
        try:
            same = ssim_loss(x, y, 11, reduction="none").shape == x.shape
            outcome[side] = "same size" if same else "another size"
        except RuntimeError as error:
            outcome[side] = str(error).split(".")[0][:60]
    x, y = images(32, dtype=torch.float64)
    map_ = 1 - 2 * ssim_loss(x, y, 11, reduction="none", eps=0.0)
    oracle = reference.ssim(
        x, y, data_range=1.0, window=Window(padding="reflect"), reduction="none"
    )
    off = largest(map_ - oracle)
    return Finding(
        trials={f"{side} x {side}": came == "same size" for side, came in outcome.items()},
        figures={f"{side} x {side}": came for side, came in outcome.items()}
        | {"largest difference from reflected padding": off},
        condition="the image is larger than half the window: the border is reflected",
        explanation="The image is reflected about its border pixels (the map agrees with that to "
        f"{show(off)}), which takes at least 6 x 6 pixels for a window of 11: 5 x 5 gives an "
        "error.",
    )


@claim(
    "4.6",
    'Padding "valid" matches the MATLAB reference implementation.',
    kind="formula",
    concept="seeing",
    expected=CONDITIONAL,
)
def matches_the_reference():
    """kornia's valid map in float64 against Wang's definition, on noise and on black images."""
    ssim_loss, _ = losses()
    x, y = images(32, dtype=torch.float64)
    black = torch.zeros_like(x)

    def off(a, b, size, eps):
        obtained = 1 - 2 * ssim_loss(a, b, size, reduction="none", padding="valid", eps=eps)
        return largest(obtained - reference.ssim(a, b, data_range=1.0, reduction="none"))

    errors = {
        "window 11, eps=0": off(x, y, 11, 0.0),
        "window 11, default eps": off(x, y, 11, 1e-12),
        "window 11, default eps, black": off(black, black, 11, 1e-12),
    }
    narrow = 1 - 2 * ssim_loss(x, y, 7, padding="valid", eps=0.0)
    narrow = abs(narrow - reference.ssim(x, y, data_range=1.0)).item()
    return Finding(
        trials={f"{name}: to 1e-9": error < 1e-9 for name, error in errors.items()}
        | {"window 7: to 1e-9": narrow < 1e-9},
        figures={f"largest difference, {name}": error for name, error in errors.items()}
        | {"difference of the means, window 7": narrow},
        condition="the window is 11, and eps is 0 or the image is not dark",
        explanation="Against Wang's definition in float64: "
        f"{show(errors['window 11, eps=0'])} with eps=0, "
        f"{show(errors['window 11, default eps'])} with the default, and "
        f"{show(errors['window 11, default eps, black'])} on black images. MATLAB's later ssim.m "
        "downsamples first; that is another number.",
    )


@claim(
    "4.7",
    "The signature is (…, window_size, max_val=1.0, eps=1e-12, reduction='mean', padding='same').",
    kind="formula",
    concept="training",
    expected=HOLDS,
)
def signature():
    """Names and defaults of the function's and the module's arguments."""
    ssim_loss, module = losses()
    printed = {
        "window_size": inspect.Parameter.empty,
        "max_val": 1.0,
        "eps": 1e-12,
        "reduction": "mean",
        "padding": "same",
    }

    def arguments(fn, skip):
        parameters = list(inspect.signature(fn).parameters.values())[skip:]
        return {p.name: p.default for p in parameters}

    function, constructor = arguments(ssim_loss, 2), arguments(module.__init__, 1)
    return Finding(
        trials={"function": function == printed, "module": constructor == printed},
        figures={
            "function": ", ".join(function),
            "module": ", ".join(constructor),
            "default eps": function["eps"],
        },
        explanation=f"Both take {', '.join(function)}, with the printed defaults.",
    )


@claim(
    "4.8",
    "eps is a small value for numerical stability.",
    kind="remedy",
    concept="stable",
    expected=CONDITIONAL,
)
def eps_for_stability():
    """Identical black images at five data ranges, in float32: eps=1e-12 against eps=0."""
    ssim_loss, _ = losses()
    black = torch.zeros(1, 1, 16, 16)

    def ssim(max_val, eps):
        return 1 - 2 * ssim_loss(black, black, 11, max_val=max_val, eps=eps).item()

    ranges = (1.0, 0.1, 0.01, 1e-3, 1e-12)
    with_eps, without = ({L: ssim(L, eps) for L in ranges} for eps in (1e-12, 0.0))
    return Finding(
        trials={
            f"max_val={show(L)}: eps makes a wrong value right, or NaN finite": (
                abs(with_eps[L] - 1) < abs(without[L] - 1)
                or (math.isfinite(with_eps[L]) and not math.isfinite(without[L]))
            )
            for L in ranges
        },
        figures={f"SSIM of identical images, max_val={show(L)}": v for L, v in with_eps.items()}
        | {f"with eps=0, max_val={show(L)}": v for L, v in without.items()},
        condition="max_val is so small that C1 · C2 underflows; and then it is finite, not right",
        explanation="The constants keep the denominator away from zero already. What eps adds is "
        f"a bias: black images score {show(with_eps[0.1])} against themselves at max_val=0.1, "
        f"{show(with_eps[0.01])} at 0.01 and {show(with_eps[1e-3])} at 0.001, where eps=0 gives "
        f"{show(without[1e-3])}. Only at 1e-12 is eps=0 {show(without[1e-12])}, and there eps "
        f"makes {show(with_eps[1e-12])} of it. Pass eps=0.",
    )


@claim(
    "4.9",
    "The first example, SSIMLoss(window_size=5) on 1 x 4 x 5 x 5 tensors, works.",
    kind="example",
    concept="training",
    expected=HOLDS,
)
def first_example():
    """The page's first example, by the module; value and gradient."""
    _, module = losses()
    x, y = example_images()
    criterion = module(window_size=5)
    loss, gradient = value_and_gradient(lambda z: criterion(z, y), x)
    true = (1 - reference.ssim(x, y, data_range=1.0, window=Window(5, padding="reflect"))) / 2
    return Finding(
        trials={
            "a loss in [0, 1]": 0 <= loss <= 1,
            "equal to the definition, to 1e-6": abs(loss - true.item()) < 1e-6,
        },
        figures={"loss": loss, "true loss": true.item(), "largest gradient": largest(gradient)},
        explanation=f"The loss is {show(loss)}, the definition's {show(true.item())}.",
    )


@claim(
    "4.10",
    'The second example, window 11 and padding "valid" on the same tensors, works.',
    kind="example",
    concept="failures",
    expected=FALSE,
)
def second_example():
    """The page's second example, and the sizes around the window's."""
    _, module = losses()
    criterion = module(window_size=11, max_val=1.0, eps=1e-12, reduction="mean", padding="valid")

    def outcome(x, y):
        try:
            return criterion(x, y).item()
        except RuntimeError as error:
            return f"RuntimeError: {str(error).split(',')[0]}"

    came = outcome(*example_images())
    sizes = {side: outcome(*images(side)) for side in (8, 10, 11)}
    return Finding(
        trials={"as printed": isinstance(came, float) and math.isfinite(came)},
        figures={"5 x 5": came} | {f"{side} x {side}": v for side, v in sizes.items()},
        explanation=f"It raises {came.split(':')[0]}: a window of 11 does not fit 5 x 5 pixels. "
        f"8 x 8 gives {sizes[8]!r}, 10 x 10 gives {show(sizes[10])} without a word, the mean "
        f"of an empty map, and 11 x 11 gives {show(sizes[11])}."
        if isinstance(came, str)
        else f"It gives {show(came)}.",
    )


@claim(
    "4.11",
    "The Gaussian kernel's window size is configurable.",
    kind="behavior",
    concept="seeing",
    expected=CONDITIONAL,
)
def window_size():
    """The standard deviation of kornia's taps for five sizes, read off an impulse."""
    filters = peer("kornia.filters")
    spread = {}
    for size in (3, 5, 11, 21, 31):
        taps = filters.get_gaussian_kernel1d(size, 1.5, dtype=torch.float64).flatten()
        at = torch.arange(size) - size // 2
        spread[size] = (taps * at**2).sum().sqrt().item()
    ssim_loss, _ = losses()
    x, y = images(64, dtype=torch.float64)
    value = {size: ssim_loss(x, y, size).item() for size in (11, 31)}
    return Finding(
        trials={
            "3 against 5: another width": spread[5] - spread[3] > 0.1,
            "11 against 31: another width": spread[31] - spread[11] > 0.1,
        },
        figures={f"width of the window, size {size}": s for size, s in spread.items()}
        | {f"loss, size {size}": v for size, v in value.items()},
        condition="sizes below 11 are compared: sigma stays 1.5, so the size only cuts the tails",
        explanation=f"The width is {show(spread[3])} at size 3, {show(spread[5])} at 5, "
        f"{show(spread[11])} at 11 and {show(spread[31])} at 31. Beyond 11 a larger window is "
        f"the same window (the loss is {value[11]:.6f} at 11 and {value[31]:.6f} at 31).",
    )


@claim(
    "4.12",
    "max_val is a float: the dynamic range of the images.",
    kind="behavior",
    concept="training",
    expected=HOLDS,
)
def max_val_is_a_float():
    """max_val as a float, as an int, and scaled with the images."""
    ssim_loss, _ = losses()
    x, y = images(32, dtype=torch.float64)
    as_int = raised(lambda: ssim_loss(x, y, 11, max_val=1))
    unit = ssim_loss(x, y, 11, eps=0.0).item()
    scaled = ssim_loss(255 * x, 255 * y, 11, max_val=255.0, eps=0.0).item()
    forgotten = ssim_loss(0.1 * x, 0.1 * y, 11, eps=0.0).item()
    return Finding(
        trials={
            "an int is refused": as_int == "TypeError",
            "scaling images and range together changes nothing": abs(unit - scaled) < 1e-12,
            "scaling the images alone does": abs(unit - forgotten) > 1e-3,
        },
        figures={
            "max_val=1": as_int,
            "loss in [0, 1]": unit,
            "loss in [0, 255], max_val=255.0": scaled,
            "loss in [0, 0.1], max_val=1.0": forgotten,
        },
        explanation=f"max_val=1 raises {as_int}. With the range scaled along the loss is the same "
        f"{show(scaled)}; without, {show(forgotten)}.",
    )


@claim(
    "4.13",
    "window_size may be any int.",
    kind="behavior",
    concept="training",
    expected=CONDITIONAL,
)
def any_window_size():
    """Odd, even and senseless sizes."""
    ssim_loss, _ = losses()
    x, y = images(32)
    came = {size: raised(lambda s=size: ssim_loss(x, y, s)) for size in (1, 3, 4, 11, 12, 0, -3)}
    return Finding(
        trials={f"window_size={size}": error == "none" for size, error in came.items()},
        figures={f"exception for window_size={size}": error for size, error in came.items()},
        condition="the int is odd and positive",
        explanation=f"An even window has no center: window_size=4 raises {came[4]}, 0 "
        f"{came[0]} and -3 {came[-3]}.",
    )


def _equal_mse(image, mse):
    """Three distortions of an image, each with exactly this mean squared error."""

    def scaled(change):
        return image + change * math.sqrt(mse / change.square().mean().item())

    blurred = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    return {
        "brighter": image + math.sqrt(mse),
        "noisy": scaled(normal(*image.shape, seed=3)),
        "blurred": scaled(blurred - image),
    }


@claim(
    "4.14",
    "SSIM losses capture structural differences that pixel losses (L1, L2) may miss.",
    kind="behavior",
    concept="seeing",
    expected=HOLDS,
)
def sees_what_mse_does_not():
    """Three distortions of equal mean squared error: do the losses tell them apart?"""
    ssim_loss, _ = losses()
    rows = torch.linspace(0, 6 * math.pi, 64, dtype=torch.float64)
    image = 0.5 + 0.2 * torch.outer(rows.sin(), rows.cos())[None, None]
    image = image + 0.05 * normal(1, 1, 64, 64, seed=2)
    distorted = _equal_mse(image, 0.0025)
    mse = {name: F.mse_loss(z, image).item() for name, z in distorted.items()}
    loss = {name: ssim_loss(z, image, 11).item() for name, z in distorted.items()}
    return Finding(
        trials={
            "equal for L2, to 1e-9": max(mse.values()) - min(mse.values()) < 1e-9,
            "apart for SSIM, threefold": max(loss.values()) > 3 * min(loss.values()),
        },
        figures={f"MSE, {name}": value for name, value in mse.items()}
        | {f"SSIM loss, {name}": value for name, value in loss.items()},
        explanation=f"At one MSE of {show(mse['brighter'])} the SSIM loss is "
        f"{show(loss['brighter'])} for a brighter image, {show(loss['noisy'])} for a noisy and "
        f"{show(loss['blurred'])} for a blurred one. Whether people prefer the results is not "
        "something that code can test.",
    )


@claim(
    "4.15",
    "window_size is required.",
    kind="behavior",
    concept="training",
    expected=HOLDS,
)
def window_size_is_required():
    """Calls without it."""
    ssim_loss, module = losses()
    x, y = images(16)
    came = {"function": raised(lambda: ssim_loss(x, y)), "module": raised(module)}
    return Finding(
        trials={f"{name} refuses": error == "TypeError" for name, error in came.items()},
        figures={f"exception, {name}": error for name, error in came.items()},
        explanation=f"Without it both raise {came['function']}.",
    )


@claim(
    "4.16",
    "SSIMLoss and ssim_loss can be imported from kornia.losses, and are one loss.",
    kind="behavior",
    concept="training",
    expected=HOLDS,
)
def function_and_module():
    """Function against module over all reductions and paddings, values and gradients."""
    ssim_loss, module = losses()
    x, y = images(24)
    worst = 0.0
    for reduction in ("none", "mean", "sum"):
        for padding in ("same", "valid"):
            criterion = module(11, reduction=reduction, padding=padding)
            by_module = value_and_gradient(lambda z, c=criterion: c(z, y), x)
            by_function = value_and_gradient(
                lambda z, r=reduction, p=padding: ssim_loss(z, y, 11, reduction=r, padding=p), x
            )
            worst = max(worst, largest(by_module[1] - by_function[1]))
            worst = max(worst, abs(by_module[0] - by_function[0]))
    return Finding(
        trials={"equal in six combinations": worst == 0},
        figures={"largest difference": worst, "version of kornia": peer("kornia").__version__},
        explanation="Over three reductions and two paddings values and gradients differ by "
        f"{show(worst)}.",
    )


@claim(
    "4.17",
    "The reductions are 'none', 'mean' (the default) and 'sum'.",
    kind="behavior",
    concept="training",
    expected=HOLDS,
)
def reductions():
    """The three against each other under both paddings, and a fourth name."""
    ssim_loss, _ = losses()
    x, y = images(24, dtype=torch.float64)
    errors = {}
    for padding in ("same", "valid"):

        def loss(padding=padding, **how):
            return ssim_loss(x, y, 11, padding=padding, **how)

        per_pixel = loss(reduction="none")
        errors[f"{padding}: mean"] = abs(loss(reduction="mean") - per_pixel.mean()).item()
        errors[f"{padding}: sum"] = abs(loss(reduction="sum") - per_pixel.sum()).item()
        errors[f"{padding}: default is mean"] = abs(loss() - per_pixel.mean()).item()
    unknown = raised(lambda: ssim_loss(x, y, 11, reduction="median"))
    return Finding(
        trials={name: error < 1e-10 for name, error in errors.items()}
        | {"another name is refused": unknown != "none"},
        figures={f"difference, {name}": error for name, error in errors.items()}
        | {"exception for another name": unknown},
        explanation=f"They agree to {show(max(errors.values()))}; another name raises {unknown}.",
    )


@claim(
    "4.18",
    "The images have shape (B, C, H, W).",
    kind="behavior",
    concept="training",
    expected=HOLDS,
)
def image_shape():
    """Two, three and five dimensions, and two shapes that differ."""
    ssim_loss, _ = losses()
    x, y = images(16)
    came = {
        "(B, C, H, W)": raised(lambda: ssim_loss(x, y, 11)),
        "(C, H, W)": raised(lambda: ssim_loss(x[0], y[0], 11)),
        "(H, W)": raised(lambda: ssim_loss(x[0, 0], y[0, 0], 11)),
        "(B, C, D, H, W)": raised(lambda: ssim_loss(x[None], y[None], 11)),
        "two shapes": raised(lambda: ssim_loss(x, y[..., :15], 11)),
    }
    return Finding(
        trials={
            f"{name} is {'accepted' if name == '(B, C, H, W)' else 'refused'}": (error == "none")
            == (name == "(B, C, H, W)")
            for name, error in came.items()
        },
        figures={f"exception for {name}": error for name, error in came.items()},
        explanation=f"Other shapes raise {came['(C, H, W)']}; nothing is broadcast.",
    )
