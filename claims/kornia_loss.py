"""Claims of the page "Implementation: Kornia SSIM loss"."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ssimlab import reference
from ssimlab.lab.images import PHOTOS, photo
from ssimlab.window import Window

from .measuring import largest, nans, normal, peer, uniform, value_and_gradient
from .registry import Finding, Says, Verdict, claims_of, show

CONDITIONAL, HOLDS = Verdict.CONDITIONAL, Verdict.HOLDS
CAN, IS = Says.CAN, Says.IS

#: How many seeds are tried where chance plays a part.
RUNS = 10

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64")}

claim = claims_of("page-kornia-loss")


def losses():
    """kornia's loss, as a function and as a module."""
    module = peer("kornia.losses")
    return module.ssim_loss, module.SSIMLoss


def images(side: int = 64, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two random images, each (1, 3, side, side)."""
    return uniform(2, 1, 3, side, side, seed=seed, dtype=dtype)


def example_images(side: int = 5, seed: int = 0) -> Tensor:
    """The page's two images, each (1, 4, 5, 5), or larger."""
    return uniform(2, 1, 4, side, side, seed=seed, dtype=torch.float32)


def kornia_map(x: Tensor, y: Tensor, size: int = 11, **options) -> Tensor:
    """The map of SSIM that belongs to kornia's loss."""
    ssim_loss, _ = losses()
    return 1 - 2 * ssim_loss(x, y, size, reduction="none", **options)


def defined_map(
    x: Tensor, y: Tensor, size: int = 11, *, padding: str = "reflect", data_range: float = 1.0
) -> Tensor:
    """The map of SSIM by the definition, in float64."""
    window = Window(size, padding=padding)
    return reference.ssim(x, y, data_range=data_range, window=window, reduction="none")


def outcome(call: Callable[[], object]) -> str:
    """What comes of a call: nothing of note, or the name and the first words of an exception."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).split('.')[0].split(',')[0][:70]}"
    return "accepted"


def worst(figures: dict, words: str) -> float:
    """The largest of the figures whose names contain these words."""
    return max(value for name, value in figures.items() if words in name)


# ------------------------------------------------------------------------------------------------
# Overview and description


@claim(
    "4.1",
    "The loss is the structural dissimilarity (1 - SSIM)/2 of two images.",
    place="Overview, sentence 1, and Description, the formula",
    says=IS,
    reading="The formula as kornia's documentation has it, since the page's text has lost the "
    "minus and the fraction bar on its way. Each pixel of the loss against kornia's own map of "
    "SSIM, and the mean against the definition of SSIM.",
    concept="training",
    expected=HOLDS,
)
def dissimilarity():
    """Ten pairs of random images, and images with their negatives, both paddings, float32 and
    float64."""
    ssim_loss, _ = losses()
    metric = peer("kornia.metrics").ssim
    trials, figures = {}, {}
    for name, dtype in DTYPES.items():
        for padding, ours in (("same", "reflect"), ("valid", "valid")):
            by_pixel, by_mean = 0.0, 0.0
            for seed in range(RUNS):
                x, y = images(32, seed, dtype)
                for a, b in ((x, y), (x, 1 - x)):
                    of_map = (1 - metric(a, b, 11, padding=padding)) / 2
                    loss = ssim_loss(a, b, 11, reduction="none", padding=padding)
                    by_pixel = max(by_pixel, largest(loss - of_map))
                    defined = (1 - defined_map(a, b, padding=ours).mean()) / 2
                    by_mean = max(by_mean, abs(loss.double().mean() - defined).item())
            trials[f"{name}, {padding}: (1 - SSIM)/2 of kornia's map, within 1e-6"] = (
                by_pixel < 1e-6
            )
            trials[f"{name}, {padding}: mean within 1e-6 of the definition's"] = by_mean < 1e-6
            figures[f"largest difference from (1 - SSIM)/2 of kornia's map, {name}, {padding}"] = (
                by_pixel
            )
            figures[f"largest difference of the means from the definition, {name}, {padding}"] = (
                by_mean
            )
    return Finding(
        trials=trials,
        figures=figures,
        explanation="It is: at every pixel it differs from (1 - SSIM)/2 of kornia's map by "
        f"{show(worst(figures, 'kornia'))}, and its mean from the definition's by at most "
        f"{show(worst(figures, 'definition'))}. A loss of 1 - SSIM is twice as large, and so is "
        "its gradient.",
    )


@claim(
    "4.2",
    "SSIM says how far an image is degraded, from its luminance, contrast and structure.",
    place="Description, paragraph 1, sentence 2",
    says=IS,
    reading="Kornia's map is the product of the three factors of the paper; a change of any one of "
    "them shows in the loss; and the loss grows with the amount of noise. That it is a measure of "
    "perception cannot be tested without observers.",
    concept="seeing",
    expected=HOLDS,
)
def three_factors():
    """Ten random images in float64: the map against l · c · s; the image made brighter, given half
    the contrast, mirrored; and noise of five strengths."""
    ssim_loss, _ = losses()
    off, steadily = 0.0, 0
    least = dict.fromkeys(("luminance", "contrast", "structure"), math.inf)
    for seed in range(RUNS):
        x, y = images(32, seed, torch.float64)
        factors = reference.components(x, y, data_range=1.0)
        off = max(off, largest(kornia_map(x, y, padding="valid", eps=0.0) - math.prod(factors)))
        changed = (x + 0.1, 0.5 + 0.5 * (x - 0.5), x.flip(-1))
        for name, other in zip(least, changed, strict=True):
            least[name] = min(least[name], ssim_loss(other, x, 11).item())
        noise = normal(*x.shape, seed=100 + seed)
        rising = [ssim_loss(x + level * noise, x, 11).item() for level in (0.01, 0.03, 0.1, 0.3, 1)]
        steadily += rising == sorted(set(rising))
    return Finding(
        trials={"the map is l · c · s, within 1e-9": off < 1e-9}
        | {
            f"a change of {name}: a loss above 0.001 in all ten": v > 1e-3
            for name, v in least.items()
        }
        | {"more noise, more loss, in all ten": steadily == RUNS},
        figures={"largest difference from l · c · s": off}
        | {f"loss by a change of {name}, the least of ten": value for name, value in least.items()}
        | {"images of ten whose loss grows with the noise": steadily},
        explanation=f"Without eps the map is l · c · s to {show(off)}. A brighter image has a loss "
        f"of at least {show(least['luminance'])}, one of half the contrast "
        f"{show(least['contrast'])}, a mirrored one {show(least['structure'])}; and the loss grows "
        f"with the noise in {steadily} of {RUNS} images.",
    )


@claim(
    "4.3",
    "A Gaussian kernel whose size can be chosen smooths the images before SSIM is computed.",
    place="Description, the paragraph after the formula, sentence 1; I/O Contract, Inputs, "
    "window_size, the description",
    says=IS,
    reading="For each size, the loss is the one by the definition with a sampled Gaussian of so "
    "many taps as the window. The page says nothing about its standard deviation; kornia's "
    "documentation says that it is 1.5 at every size.",
    concept="seeing",
    expected=HOLDS,
)
def gaussian_window():
    """Six odd sizes in float64 without eps, against the definition, on ten pairs of images; even
    sizes; and the difference that sizes beyond 11 make."""
    ssim_loss, _ = losses()
    sizes = (3, 5, 7, 11, 21, 31)
    pairs = [images(32, seed, torch.float64) for seed in range(RUNS)]
    off = {
        size: max(
            largest(kornia_map(x, y, size, eps=0.0) - defined_map(x, y, size)) for x, y in pairs
        )
        for size in sizes
    }
    loss = {size: [ssim_loss(x, y, size).item() for x, y in pairs] for size in sizes}

    def change(size, other):
        return max(abs(a - b) for a, b in zip(loss[size], loss[other], strict=True))

    taps = {
        size: peer("kornia.filters").get_gaussian_kernel1d(size, 1.5, dtype=torch.float64).flatten()
        for size in sizes
    }
    width = {
        size: (t * (torch.arange(size) - size // 2) ** 2).sum().sqrt().item()
        for size, t in taps.items()
    }
    even = outcome(lambda: ssim_loss(*pairs[0], 4))
    return Finding(
        trials={
            f"size {size}: the map by that window, within 1e-9": error < 1e-9
            for size, error in off.items()
        },
        figures={f"largest difference from the definition, size {s}": e for s, e in off.items()}
        | {f"standard deviation of the taps, size {s}": w for s, w in width.items()}
        | {
            "largest change of the loss from size 5 to 11": change(5, 11),
            "largest change of the loss from size 11 to 31": change(11, 31),
            "size 4": even,
        },
        explanation=f"At every odd size the map is that of a Gaussian window, to "
        f"{show(max(off.values()))}. Sigma is 1.5 whatever the size, so the size says where the "
        f"tails are cut: from 5 to 11 the loss changes by up to {show(change(5, 11))}, from 11 to "
        f"31 by up to {show(change(11, 31))}. Even sizes are refused ({even.split(':')[0]}).",
    )


@claim(
    "4.4",
    "A clamp keeps the loss between 0 and 1.",
    place="Description, the paragraph after the formula, sentence 2",
    says=IS,
    reading="Of every pixel of the loss, for finite images of any brightness.",
    concept="failures",
    expected=HOLDS,
)
def clamped_loss():
    """Ten pairs of textures at four brightnesses up to 10,000 times max_val, in float32; how many
    pixels the clamp acts on, and what it hides; then a NaN in the image."""
    ssim_loss, _ = losses()
    metric = peer("kornia.metrics").ssim
    offsets = (0.0, 1.0, 100.0, 1e4)
    inside = dict.fromkeys(offsets, True)
    acted = dict.fromkeys(offsets, 0.0)
    mean, true = dict.fromkeys(offsets, 0.0), dict.fromkeys(offsets, 0.0)
    for seed in range(RUNS):
        texture = normal(2, 1, 1, 48, 48, seed=seed)
        for offset in offsets:
            x, y = (offset + 0.05 * texture).float()
            loss, score = ssim_loss(x, y, 11, reduction="none"), metric(x, y, 11)
            inside[offset] &= bool(((loss >= 0) & (loss <= 1)).all())
            acted[offset] += (score.abs() > 1).double().mean().item() / RUNS
            mean[offset] += loss.double().mean().item() / RUNS
            true[offset] += (1 - defined_map(x, y).mean().item()) / 2 / RUNS
    spoiled = uniform(1, 1, 48, 48, dtype=torch.float32)
    spoiled[..., 5, 5] = math.nan
    passed = nans(ssim_loss(spoiled, spoiled, 11, reduction="none"))
    return Finding(
        trials={
            f"brightness {show(offset)}, ten pairs: every pixel from 0 to 1": all_of_them
            for offset, all_of_them in inside.items()
        },
        figures={f"share of pixels clamped, brightness {show(o)}": a for o, a in acted.items()}
        | {f"mean loss, brightness {show(o)}": value for o, value in mean.items()}
        | {f"true mean loss, brightness {show(o)}": value for o, value in true.items()}
        | {"NaN pixels of the loss for one NaN pixel": passed},
        explanation="It is, pixel by pixel. In exact arithmetic (1 - SSIM)/2 never leaves that "
        "interval, so the clamp acts on rounding alone: on "
        f"{acted[0.0]:.0%} of the pixels of ordinary images, {acted[100.0]:.1%} of those of images "
        f"100 times as bright as max_val, and {acted[1e4]:.0%} at 10,000 times, far from what the "
        f"loss is meant for. There it hides that the values are off: the mean loss is "
        f"{show(mean[1e4])} where {show(true[1e4])} is true. A NaN is not "
        "clamped: it stays NaN.",
    )


# ------------------------------------------------------------------------------------------------
# Padding


@claim(
    "4.5",
    "There are two padding modes, same and valid, and same is the default.",
    place="Description, the list of padding modes; I/O Contract, Inputs, padding",
    says=IS,
    reading="Both are accepted, the default gives what same gives, and no other is accepted.",
    concept="training",
    expected=HOLDS,
)
def padding_modes():
    """Both modes, the default against same on ten pairs of images, and three other names."""
    ssim_loss, _ = losses()
    pairs = [images(24, seed) for seed in range(RUNS)]
    x, y = pairs[0]
    came = {
        mode: outcome(lambda m=mode: ssim_loss(x, y, 11, padding=m))
        for mode in ("same", "valid", "reflect", "zero", "full")
    }
    accepted = {mode: told == "accepted" for mode, told in came.items()}
    apart = max(
        abs(ssim_loss(a, b, 11) - ssim_loss(a, b, 11, padding="same")).item() for a, b in pairs
    )
    return Finding(
        trials={f"{mode}: accepted": accepted[mode] for mode in ("same", "valid")}
        | {f"{mode}: refused": not accepted[mode] for mode in ("reflect", "zero", "full")}
        | {"the default is same": apart == 0},
        figures=came | {"largest difference of the default and same": apart},
        explanation="Both are accepted, and the default is same. Another name raises "
        f"{came['zero'].split(':')[0]}.",
    )


@claim(
    "4.6",
    "With same the images are padded, so that the output has their height and width.",
    place="Description, the list of padding modes, same",
    says=IS,
    reading="For every image that is accepted; a refusal is not an output of another size. How "
    "small an image may be is said below.",
    concept="seeing",
    expected=HOLDS,
)
def same_size():
    """Images from 6 to 64 pixels with window 11, an oblong one, and the page's own with window 5;
    which padding it is; and the sizes that are refused."""
    ssim_loss, _ = losses()
    shapes, off = {}, 0.0
    for height, width, size in (
        (6, 6, 11),
        (8, 8, 11),
        (11, 11, 11),
        (64, 64, 11),
        (20, 33, 11),
        (5, 5, 5),
    ):
        x, y = uniform(2, 1, 3, height, width)
        obtained = kornia_map(x, y, size, eps=0.0)
        shapes[f"{height} x {width}, window {size}"] = list(x.shape), list(obtained.shape)
        off = max(off, largest(obtained - defined_map(x, y, size)))
    refused = {side: outcome(lambda s=side: ssim_loss(*images(s), 11)) for side in (3, 5)}
    return Finding(
        trials={
            f"{name}: output of the input's size": before == after
            for name, (before, after) in shapes.items()
        },
        figures={f"shape of the output, {name}": after for name, (_, after) in shapes.items()}
        | {"largest difference from an image reflected at its border": off}
        | {f"{side} x {side}, window 11": told for side, told in refused.items()},
        explanation=f"It has, in all {len(shapes)} cases. The image is reflected about its border "
        f"pixels (the map agrees with that to {show(off)}), which takes more than half a window of "
        "pixels in each direction: at least 6 for a window of 11. Smaller images are refused "
        f"({refused[5].split(':')[0]}).",
    )


@claim(
    "4.7",
    "With valid only the area is used in which the convolution is valid.",
    place="Description, the list of padding modes, valid, the first half of the sentence",
    says=IS,
    reading="The map has one value for each window that lies inside the image, and is what the "
    "definition gives there.",
    concept="failures",
    expected=HOLDS,
)
def valid_area():
    """Images from 11 to 64 pixels and an oblong one, window 11, and window 5, against the
    definition; then images into which no window fits."""
    ssim_loss, _ = losses()
    trials, figures, off = {}, {}, 0.0
    for height, width, size in ((11, 11, 11), (12, 12, 11), (64, 64, 11), (20, 33, 11), (9, 9, 5)):
        x, y = uniform(2, 1, 3, height, width, dtype=torch.float64)
        obtained = kornia_map(x, y, size, padding="valid", eps=0.0)
        defined = defined_map(x, y, size, padding="valid")
        name = f"{height} x {width}, window {size}"
        right = obtained.shape == defined.shape
        off = max(off, largest(obtained - defined)) if right else math.inf
        trials[f"{name}: the windows inside the image, within 1e-9"] = right and off < 1e-9
        figures[f"shape of the output, {name}"] = list(obtained.shape)
    empty = list(ssim_loss(*images(10), 11, reduction="none", padding="valid").shape)
    mean = ssim_loss(*images(10), 11, padding="valid").item()
    smaller = {
        side: outcome(lambda s=side: ssim_loss(*images(s), 11, padding="valid")) for side in (5, 9)
    }
    return Finding(
        trials=trials,
        figures=figures
        | {
            "largest difference from the definition": off,
            "10 x 10, window 11: shape of the output": empty,
            "10 x 10, window 11: mean": mean,
        }
        | {f"{side} x {side}, window 11": told for side, told in smaller.items()},
        explanation="The map is that of the windows inside the image, to "
        f"{show(off)}: of 64 x 64 pixels {figures['shape of the output, 64 x 64, window 11'][-1]} "
        "in each direction for a window of 11. Of images that are too small, 9 x 9 and smaller "
        f"raise {smaller[9].split(':')[0]}; at 10 x 10 the map is empty, and its mean is "
        f"{show(mean)}, as torch has it for the mean of nothing; nothing warns of it.",
    )


@claim(
    "4.8",
    "With valid the result agrees with the MATLAB program that is the reference.",
    place="Description, the list of padding modes, valid, the second half of the sentence",
    says=IS,
    reading="The program published with the paper on SSIM: a Gaussian window of 11 with sigma 1.5, "
    "windows inside the image. Its definition in float64 stands for it here. Agreement is a "
    "difference below 1e-4 at every pixel.",
    concept="seeing",
    expected=CONDITIONAL,
)
def agrees_with_the_reference():
    """Ten pairs of random images each, in float32 and float64, in [0, 1], [0, 255] and [0, 0.1],
    dark and black ones among them, max_val to match; with the default eps and with eps=0."""

    def off(scale, bright, dtype, **options):
        differences = []
        for seed in range(RUNS):
            x, y = scale * bright * images(24, seed, dtype)
            obtained = kornia_map(x, y, padding="valid", max_val=scale, **options)
            defined = defined_map(x, y, padding="valid", data_range=scale)
            differences.append(largest(obtained - defined))
        return max(differences)

    tried = {
        "range 1": (1.0, 1.0, {}),
        "range 1, dark images": (1.0, 0.01, {}),
        "range 1, black images": (1.0, 0.0, {}),
        "range 255": (255.0, 1.0, {}),
        "range 255, black images": (255.0, 0.0, {}),
        "range 0.1": (0.1, 1.0, {}),
        "range 0.1, dark images": (0.1, 0.01, {}),
        "range 0.1, black images": (0.1, 0.0, {}),
        "range 0.1, dark images, eps=0": (0.1, 0.01, {"eps": 0.0}),
        "range 0.1, black images, eps=0": (0.1, 0.0, {"eps": 0.0}),
    }
    errors = {
        f"{what}, {name}": off(scale, bright, dtype, **options)
        for what, (scale, bright, options) in tried.items()
        for name, dtype in DTYPES.items()
    }
    exact = off(1.0, 1.0, torch.float64, eps=0.0)
    by_default = worst(errors, "range 1, ")
    return Finding(
        trials={f"{name}: within 1e-4": error < 1e-4 for name, error in errors.items()},
        figures={f"largest difference, {name}": error for name, error in errors.items()}
        | {"largest difference, range 1, eps=0, float64": exact},
        condition="eps is small beside the denominator of SSIM, as it always is where max_val is "
        "about 1 or more (the default is 1.0), or where eps=0 is passed",
        explanation="By default, for images in [0, 1], the largest difference from the definition "
        f"is {show(by_default)}, and {show(exact)} in float64 with eps=0. What is left is the eps "
        "in the denominator: for dark images it weighs the more the smaller max_val is, and at "
        f"0.1 it moves black images by {show(errors['range 0.1, black images, float64'])}.",
        right="The convention is the reference's, window, constants and border alike, and at the "
        f"default range and at 255 the numbers agree to {show(by_default)} or better.",
    )


# ------------------------------------------------------------------------------------------------
# Usage


def of_one_error(image: Tensor, size_of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Three distortions of an image, scaled so that this measure of the error is 0.04 for each."""
    softer = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    changes = {
        "brighter": torch.ones_like(image),
        "noisy": normal(*image.shape, seed=3),
        "blurred": softer - image,
    }
    return {name: image + 0.04 * change / size_of(change) for name, change in changes.items()}


@claim(
    "4.9",
    "Losses built on SSIM respond to differences of structure that losses by pixel, L1 and L2, may "
    "fail to see.",
    place="Usage, sentence 2, the first half",
    says=IS,
    reading="There are distortions that L1, or L2, cannot tell apart and the SSIM loss can: on "
    "every photograph tried, by a factor of two at least. Whether people prefer the results of "
    "networks trained by it, the second half, cannot be measured without people.",
    concept="seeing",
    expected=HOLDS,
)
def structural_differences():
    """Ten photographs, made brighter, noisy and blurred so that the three have the same mean
    absolute error, and again with the same mean squared error."""
    ssim_loss, _ = losses()
    measures = {"L1": lambda d: d.abs().mean(), "L2": lambda d: d.square().mean().sqrt()}
    spread = {name: [] for name in measures}
    loss = {(name, change): [] for name in measures for change in ("brighter", "noisy", "blurred")}
    unequal = 0.0
    for subject in PHOTOS:
        image = photo(subject, size=96)[None, None]
        for name, size_of in measures.items():
            distorted = of_one_error(image, size_of)
            sizes = [size_of(z - image).item() for z in distorted.values()]
            unequal = max(unequal, max(sizes) - min(sizes))
            values = {change: ssim_loss(z, image, 11).item() for change, z in distorted.items()}
            spread[name].append(max(values.values()) / min(values.values()))
            for change, value in values.items():
                loss[name, change].append(value)

    def span(name, change):
        values = loss[name, change]
        return f"{show(min(values), 2)} to {show(max(values), 2)}"

    return Finding(
        trials={
            f"equal for {name}, and at least twofold apart for SSIM, on all ten photographs": (
                unequal < 1e-9 and min(factors) > 2
            )
            for name, factors in spread.items()
        },
        figures={
            f"largest loss over smallest, equal {name}, least and most": [min(f), max(f)]
            for name, f in spread.items()
        }
        | {
            f"SSIM loss, {change}, equal {name}, least and most": [min(values), max(values)]
            for (name, change), values in loss.items()
        }
        | {"largest inequality of L1 or L2": unequal},
        explanation="Of one mean squared error, the brighter photographs have an SSIM loss of "
        f"{span('L2', 'brighter')}, the noisy ones of {span('L2', 'noisy')} and the blurred ones "
        f"of {span('L2', 'blurred')}; of one absolute error it is much the same. The other way "
        "round, a shift of brightness, which L1 and L2 see as well as any other change, is what "
        "SSIM makes least of.",
    )


# ------------------------------------------------------------------------------------------------
# Signature and import


@claim(
    "4.10",
    "The function takes two images, window_size, and four options with the defaults printed; the "
    "module takes the same without the images.",
    place="Code Reference, Signature",
    says=IS,
    reading="Names, order and defaults of the parameters in kornia as installed, and of the "
    "module's call.",
    concept="training",
    expected=HOLDS,
)
def signature():
    """The parameters of the function, of the module and of its forward method, by inspection."""
    ssim_loss, module = losses()
    needed = inspect.Parameter.empty
    settings = {
        "window_size": needed,
        "max_val": 1.0,
        "eps": 1e-12,
        "reduction": "mean",
        "padding": "same",
    }
    pair = {"img1": needed, "img2": needed}

    def parameters(fn):
        found = {p.name: p.default for p in inspect.signature(fn).parameters.values()}
        return [item for item in found.items() if item[0] != "self"]

    found = {
        "function": (parameters(ssim_loss), list((pair | settings).items())),
        "module": (parameters(module.__init__), list(settings.items())),
        "call of the module": (parameters(module.forward), list(pair.items())),
    }
    return Finding(
        trials={f"{name}: as printed": a == b for name, (a, b) in found.items()},
        figures={
            f"parameters, {name}": [key for key, _ in given] for name, (given, _) in found.items()
        }
        | {"version of kornia": peer("kornia").__version__},
        explanation=f"They are as printed, names, order and defaults, in kornia "
        f"{peer('kornia').__version__}.",
    )


@claim(
    "4.11",
    "SSIMLoss and ssim_loss can be imported from kornia.losses.",
    place="Code Reference, Import",
    says=IS,
    reading="Both imports work, and since the page describes them as one loss, they should agree.",
    concept="training",
    expected=HOLDS,
)
def imports():
    """The imports; then function against module, value and gradient, over three reductions and two
    paddings, ten pairs of images each."""
    module = peer("kornia.losses")
    found = {name: hasattr(module, name) for name in ("SSIMLoss", "ssim_loss")}
    apart = 0.0
    for seed in range(RUNS):
        x, y = images(16, seed)
        for reduction in ("none", "mean", "sum"):
            for padding in ("same", "valid"):
                options = {"reduction": reduction, "padding": padding}
                criterion = module.SSIMLoss(11, **options)
                one = value_and_gradient(lambda z, c=criterion, y=y: c(z, y), x)
                other = value_and_gradient(
                    lambda z, y=y, o=options: module.ssim_loss(z, y, 11, **o), x
                )
                apart = max(apart, abs(one[0] - other[0]), largest(one[1] - other[1]))
    return Finding(
        trials={f"{name} is there": there for name, there in found.items()}
        | {"values and gradients of both are equal": apart == 0},
        figures={"largest difference of value or gradient": apart},
        explanation="Both can, and they are one loss: over three reductions, two paddings and "
        f"{RUNS} pairs of images values and gradients differ by {show(apart)}.",
    )


# ------------------------------------------------------------------------------------------------
# I/O contract


@claim(
    "4.12",
    "window_size is an int and has to be given.",
    place="I/O Contract, Inputs, window_size",
    says=IS,
    reading="Calls without it are refused, and ints are taken. A type in a table was not read as a "
    "promise that every int makes sense; which do is said below.",
    concept="training",
    expected=HOLDS,
)
def window_size():
    """Calls without it, by function and module; four odd ints; then even, zero and negative ints
    and a float."""
    ssim_loss, module = losses()
    x, y = images(32)
    without = {
        "the function": outcome(lambda: ssim_loss(x, y)),
        "the module": outcome(lambda: module()),
    }

    def came(*sizes):
        return {repr(size): outcome(lambda s=size: ssim_loss(x, y, s)) for size in sizes}

    odd, others = came(1, 3, 11, 31), came(4, 12, 0, -3, 11.0)
    refused = [size for size, told in others.items() if told != "accepted"]
    return Finding(
        trials={
            f"{name} without it: refused": told.startswith("TypeError")
            for name, told in without.items()
        }
        | {f"window_size={size}: accepted": told == "accepted" for size, told in odd.items()},
        figures={f"without it, {name}": told for name, told in without.items()}
        | {f"window_size={size}": told for size, told in (odd | others).items()},
        explanation="Both refuse a call without it, and positive odd ints are accepted. Of what "
        f"else was tried, {', '.join(refused)} are refused: an even window has no center pixel "
        f"({others['4'].split(':')[0]}).",
    )


@claim(
    "4.13",
    "max_val, 1.0 where it is left out, is the range of the pixel values, a float.",
    place="I/O Contract, Inputs, max_val",
    says=IS,
    reading="Images scaled together with max_val have the same loss, and without max_val the loss "
    "is the one for 1.0. A float is what the page asks for, so only floats were tried, and an int "
    "beside them.",
    concept="training",
    expected=HOLDS,
)
def max_val():
    """Ten pairs of random images in float64, scaled to five ranges from 0.1 to 65,535; the default
    against 1.0; images scaled without it; and max_val=1."""
    ssim_loss, _ = losses()
    scales = (0.1, 0.5, 2.0, 255.0, 65535.0)
    moved, forgotten, default = dict.fromkeys(scales, 0.0), [], 0.0
    for seed in range(RUNS):
        x, y = images(24, seed, torch.float64)
        unit = ssim_loss(x, y, 11, max_val=1.0).item()
        default = max(default, abs(unit - ssim_loss(x, y, 11).item()))
        forgotten.append(abs(unit - ssim_loss(0.1 * x, 0.1 * y, 11).item()))
        for scale in scales:
            scaled = ssim_loss(scale * x, scale * y, 11, max_val=scale).item()
            moved[scale] = max(moved[scale], abs(unit - scaled))
    as_int = outcome(lambda: ssim_loss(*images(24), 11, max_val=1))
    return Finding(
        trials={
            f"images and max_val times {show(scale)}: the same loss, within 1e-6": error < 1e-6
            for scale, error in moved.items()
        }
        | {"left out: the loss for 1.0": default == 0},
        figures={f"largest change of the loss, times {show(s)}": e for s, e in moved.items()}
        | {
            "change of the loss, images times 0.1, max_val left at 1.0, least and most": [
                min(forgotten),
                max(forgotten),
            ],
            "max_val=1": as_int,
        },
        explanation="Scaled together, images and max_val leave the loss as it is, to "
        f"{show(max(moved.values()))}. Images in [0, 0.1] with max_val left at 1.0 have a loss "
        f"that is off by {show(min(forgotten))} to {show(max(forgotten))}. The int 1 is refused "
        f"({as_int.split(':')[0]}): write 1.0.",
    )


@claim(
    "4.14",
    "eps, 1e-12 where it is left out, is a small value that is there for numerical stability.",
    place="I/O Contract, Inputs, eps",
    says=IS,
    reading="Stability: where the denominator would be zero, eps makes the loss finite. Small: "
    "beside the denominators that occur, so that it changes no pixel of SSIM by more than 1e-4. "
    "Black images, the smallest denominators, and random ones.",
    concept="failures",
    expected=CONDITIONAL,
)
def eps():
    """Black images with themselves, and ten random pairs, at six values of max_val from 0 to 255,
    with eps=1e-12 and eps=0, in float32."""
    black = torch.zeros(1, 1, 16, 16)

    def score(max_val, **options):
        return kornia_map(black, black, max_val=max_val, **options).mean().item()

    def moved(max_val):
        pairs = [max_val * images(16, seed) for seed in range(RUNS)]
        return max(
            largest(kornia_map(x, y, max_val=max_val) - kornia_map(x, y, max_val=max_val, eps=0.0))
            for x, y in pairs
        )

    ranges = (255.0, 1.0, 0.1, 0.01)
    vanishing = (1e-12, 0.0)
    with_eps = {L: score(L) for L in (*ranges, *vanishing)}
    without = {L: score(L, eps=0.0) for L in (*ranges, *vanishing)}
    ordinary = {L: moved(L) for L in ranges}
    return Finding(
        trials={
            f"max_val={show(L)}, black images: finite, and NaN without it": math.isnan(without[L])
            and math.isfinite(with_eps[L])
            for L in vanishing
        }
        | {
            f"max_val={show(L)}, black images: moved by less than 1e-4": abs(
                with_eps[L] - without[L]
            )
            < 1e-4
            for L in ranges
        }
        | {
            f"max_val={show(L)}, random images: moved by less than 1e-4": change < 1e-4
            for L, change in ordinary.items()
        },
        figures={f"SSIM of black images, max_val={show(L)}": v for L, v in with_eps.items()}
        | {f"with eps=0, max_val={show(L)}": v for L, v in without.items()}
        | {f"most that random images move, max_val={show(L)}": c for L, c in ordinary.items()},
        condition="1e-12 is small beside the denominator of SSIM, as it always is where max_val is "
        "about 1 or more (the default is 1.0)",
        explanation="Where the constants vanish, eps makes a finite value of 0/0. Elsewhere they "
        "keep the denominator above 9e-8 · max_val⁴ by themselves, and eps only adds to it: black "
        f"images score {with_eps[1.0]:.6f} against themselves at max_val=1, {show(with_eps[0.1])} "
        f"at 0.1 and {show(with_eps[0.01])} at 0.01, where eps=0 gives {show(without[0.01])}. "
        "Kornia's documentation says as much, and that eps=0.0 turns it off.",
        right="At the default range it is as small as the page says, at most "
        f"{show(abs(with_eps[1.0] - without[1.0]))}, and where max_val is so small that the "
        "constants underflow it does prevent NaN.",
    )


@claim(
    "4.15",
    "The reduction may be none, mean, which is the default, or sum.",
    place="I/O Contract, Inputs, reduction",
    says=IS,
    reading="All three are accepted and do what they are called, the default is the mean, and no "
    "other name is accepted.",
    concept="training",
    expected=HOLDS,
)
def reductions():
    """The three against each other on ten pairs of images, both paddings, float64; the default; and
    a fourth name."""
    ssim_loss, _ = losses()
    off: dict[str, float] = {}
    for seed in range(RUNS):
        x, y = images(16, seed, torch.float64)
        for padding in ("same", "valid"):

            def loss(x=x, y=y, padding=padding, **how):
                return ssim_loss(x, y, 11, padding=padding, **how)

            by_pixel = loss(reduction="none")
            for name, obtained, expected in (
                ("mean", loss(reduction="mean"), by_pixel.mean()),
                ("sum", loss(reduction="sum"), by_pixel.sum()),
                ("the default", loss(), by_pixel.mean()),
            ):
                off[name] = max(off.get(name, 0.0), abs(obtained - expected).item())
    unknown = outcome(lambda: ssim_loss(*images(16), 11, reduction="median"))
    return Finding(
        trials={
            f"{name}: that of the values by pixel, within 1e-9": error < 1e-9
            for name, error in off.items()
        }
        | {"another name: refused": unknown != "accepted"},
        figures={f"largest difference, {name}": error for name, error in off.items()}
        | {"reduction='median'": unknown},
        explanation=f"The largest difference is {show(max(off.values()))}, and the default is the "
        f"mean. Another name raises {unknown.split(':')[0]}.",
    )


@claim(
    "4.16",
    "Both images are to have the shape (B, C, H, W).",
    place="I/O Contract, Inputs, img1 and img2",
    says=IS,
    reading="Batches of images with any number of channels are accepted, and each channel of each "
    "image is treated by itself; other numbers of dimensions are not misread as such.",
    concept="training",
    expected=HOLDS,
)
def image_shape():
    """Four batches, against their channels one by one; two, three and five dimensions; and two
    shapes that differ."""
    ssim_loss, _ = losses()
    apart = {}
    for batch, channels in ((1, 1), (1, 4), (5, 3), (2, 7)):
        x, y = uniform(2, batch, channels, 12, 14)
        planes = zip(x.reshape(-1, 1, 1, 12, 14), y.reshape(-1, 1, 1, 12, 14), strict=True)
        alone = torch.stack([ssim_loss(a, b, 11, reduction="none") for a, b in planes])
        together = ssim_loss(x, y, 11, reduction="none")
        apart[batch, channels] = largest(together - alone.reshape(together.shape))
    x, y = images(16)
    others = {
        "(C, H, W)": outcome(lambda: ssim_loss(x[0], y[0], 11)),
        "(H, W)": outcome(lambda: ssim_loss(x[0, 0], y[0, 0], 11)),
        "(B, C, D, H, W)": outcome(lambda: ssim_loss(x[None], y[None], 11)),
        "two shapes that differ": outcome(lambda: ssim_loss(x, y[..., :15], 11)),
    }
    return Finding(
        trials={
            f"shape ({b}, {c}, 12, 14): as channel by channel, within 1e-12": off < 1e-12
            for (b, c), off in apart.items()
        }
        | {f"{name}: refused": told != "accepted" for name, told in others.items()},
        figures={
            f"largest difference from channel by channel, ({b}, {c}, 12, 14)": off
            for (b, c), off in apart.items()
        }
        | others,
        explanation="Each channel of each image is treated by itself: the largest difference is "
        f"{show(max(apart.values()))}. Other shapes raise {others['(C, H, W)'].split(':')[0]}; "
        "nothing is broadcast.",
    )


@claim(
    "4.17",
    "The value of the loss lies from 0 to 1.",
    place="I/O Contract, Outputs, the first half of the description",
    says=IS,
    reading="Of the output for each of the three reductions, since the second half of the sentence "
    "names all three.",
    concept="training",
    expected=CONDITIONAL,
)
def output_range():
    """The three reductions of ten pairs each of random images and of images with their negatives,
    of 5 x 5 pixels, as in the page's example, and 32 x 32."""
    ssim_loss, _ = losses()
    spans, within = {}, {}
    for reduction in ("mean", "none", "sum"):
        for side, size in ((5, 5), (32, 11)):
            values = torch.cat(
                [
                    ssim_loss(x, other, size, reduction=reduction).flatten()
                    for seed in range(RUNS)
                    for x, y in (example_images(side, seed),)
                    for other in (y, 1 - x)
                ]
            )
            spans[reduction, side] = [values.min().item(), values.max().item()]
            within[reduction, side] = bool(((values >= 0) & (values <= 1)).all())
    return Finding(
        trials={
            f"{reduction}, {side} x {side}: from 0 to 1": inside
            for (reduction, side), inside in within.items()
        },
        figures={
            f"least and most, {reduction}, {side} x {side}": span
            for (reduction, side), span in spans.items()
        },
        condition='the reduction is "mean", as by default, or "none"; a sum is as large as the '
        "number of its pixels allows",
        explanation="The mean, and every pixel, lies from 0 to 1. The sum over a pair of the "
        f"page's size, 4 channels of 5 x 5, reached {show(spans['sum', 5][1])}, and over 4 "
        f"channels of 32 x 32 {show(spans['sum', 32][1])}: up to one for every pixel.",
        right="Each pixel's loss lies in that interval, and so does the default output; a sum of "
        "such numbers is what the word says.",
    )


@claim(
    "4.18",
    "For mean and sum the output is a scalar.",
    place="I/O Contract, Outputs, the second half of the description",
    says=IS,
    reading="A tensor without dimensions, whatever the batch.",
    concept="training",
    expected=HOLDS,
)
def scalars():
    """Both reductions, both paddings, three batches."""
    ssim_loss, _ = losses()
    shapes = {
        f"{reduction}, {padding}, images ({batch}, {channels}, 16, 16)": list(
            ssim_loss(
                *uniform(2, batch, channels, 16, 16), 11, reduction=reduction, padding=padding
            ).shape
        )
        for reduction in ("mean", "sum")
        for padding in ("same", "valid")
        for batch, channels in ((1, 1), (1, 4), (5, 3))
    }
    return Finding(
        trials={f"{name}: a scalar": shape == [] for name, shape in shapes.items()},
        figures={f"shape, {name}": shape for name, shape in shapes.items()},
        explanation=f"It is, in all {len(shapes)} cases: one number for the whole batch.",
    )


@claim(
    "4.19",
    "For none the output is by pixel.",
    place="I/O Contract, Outputs, the second half of the description",
    says=IS,
    reading="The loss unreduced, one value for each pixel, channel and image. With valid padding, "
    "read together with what the page says of it: for each pixel around which a window fits.",
    concept="training",
    expected=HOLDS,
)
def by_pixel():
    """Two batches of images under both paddings: shapes, and what the values are those of."""
    ssim_loss, _ = losses()
    trials, figures = {}, {}
    for batch, channels, side in ((1, 3, 64), (5, 4, 20)):
        x, y = uniform(2, batch, channels, side, side)
        whole = ssim_loss(x, y, 11, reduction="none")
        inside = ssim_loss(x, y, 11, reduction="none", padding="valid")
        name = f"images ({batch}, {channels}, {side}, {side})"
        trials[f"{name}, same: one value for each pixel"] = whole.shape == x.shape
        trials[f"{name}, valid: one for each pixel at least 5 from the border"] = torch.equal(
            inside, whole[..., 5:-5, 5:-5]
        )
        figures[f"shape, {name}, same"] = list(whole.shape)
        figures[f"shape, {name}, valid"] = list(inside.shape)
    return Finding(
        trials=trials,
        figures=figures,
        explanation="With same there is one value for each pixel, channel and image; with valid "
        "the same values without the 5 outermost pixels on each side, so of 64 x 64 there are "
        f"{figures['shape, images (1, 3, 64, 64), valid'][-1]} in each direction.",
    )


# ------------------------------------------------------------------------------------------------
# The examples


@claim(
    "4.20",
    "The module with a window of 5 gives a loss for two random tensors of shape (1, 4, 5, 5).",
    place="Usage Examples, the module API",
    says=IS,
    reading="The lines run as they are printed, and the loss and its gradient are what SSIM with "
    "that window has by its definition.",
    concept="training",
    expected=HOLDS,
)
def first_example():
    """The page's first example with ten seeds, value and gradient, against the definition."""
    _, module = losses()
    criterion = module(window_size=5)
    values, off, slopes_off = [], 0.0, 0.0
    for seed in range(RUNS):
        x, y = example_images(seed=seed)
        value, gradient = value_and_gradient(lambda z, y=y: criterion(z, y), x)
        true, slopes = value_and_gradient(
            lambda z, y=y: (1 - defined_map(z, y.double(), 5).mean()) / 2, x.double()
        )
        values.append(value)
        off = max(off, abs(value - true))
        slopes_off = max(slopes_off, largest(gradient - slopes) / largest(slopes))
    return Finding(
        trials={
            "ten seeds: a loss from 0 to 1": all(0 <= value <= 1 for value in values),
            "ten seeds: the definition's, within 1e-5": off < 1e-5,
            "ten seeds: a gradient within 0.01 % of the largest of the definition's": (
                slopes_off < 1e-4
            ),
        },
        figures={
            "losses": values,
            "largest difference from the definition": off,
            "largest difference of the gradients, relative": slopes_off,
        },
        explanation=f"It runs, and gives {show(min(values))} to {show(max(values))} for ten pairs, "
        f"right to {show(off)}, with gradients right to {show(slopes_off)} of the largest.",
    )


@claim(
    "4.21",
    "The module made with a window of 11, valid padding and the other options can be called like "
    "the first.",
    place="Usage Examples, the custom parameters",
    says=IS,
    reading="The five options are accepted, and the call that follows gives a loss. It is made on "
    "the two tensors of the example, of 5 x 5 pixels; since the example is about the options, "
    "larger images were tried too.",
    concept="failures",
    expected=CONDITIONAL,
)
def second_example():
    """The page's second example as it stands, and on random images of five other sizes."""
    _, module = losses()
    options = {"max_val": 1.0, "eps": 1e-12, "reduction": "mean", "padding": "valid"}
    made = outcome(lambda: module(window_size=11, **options))
    criterion = module(window_size=11, **options)
    sides = (5, 9, 10, 11, 32, 64)

    def call(side):
        told = outcome(lambda: criterion(*example_images(side)))
        return criterion(*example_images(side)).item() if told == "accepted" else told

    came = {side: call(side) for side in sides}
    return Finding(
        trials={"the module is made": made == "accepted"}
        | {
            f"called on {side} x {side}{' as printed' if side == 5 else ''}: a finite loss": (
                isinstance(value, float) and math.isfinite(value)
            )
            for side, value in came.items()
        },
        figures={f"{side} x {side}": value for side, value in came.items()},
        condition="the images have at least 11 x 11 pixels, so that a window fits; the two tensors "
        "of the example have 5 x 5",
        explanation="The module is made as printed. Called on the example's tensors it raises "
        f"{str(came[5]).split(':')[0]}, because a window of 11 does not fit into 5 x 5 pixels; "
        f"with 11 x 11 and more it gives a loss ({show(came[11])} and {show(came[64])} for random "
        f"images of 11 x 11 and 64 x 64). At 10 x 10 the result is {show(came[10])} (claim 4.7).",
        right="All five options are valid and do what the page says, and on images of a usual size "
        "the same lines work.",
    )
