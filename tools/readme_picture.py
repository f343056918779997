"""Draw the picture at the top of README.md: three distortions with one mean squared error.

python -m tools.readme_picture
"""

import argparse
from pathlib import Path

import ssimlab
from ssimlab.lab import figures, images

PICTURE = Path(__file__).resolve().parent.parent / "book" / "_static" / "equal_errors.webp"
SHOWN = ("brighter", "noise", "blur")


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    original = 0.7 * images.photo("camera", size=256) + 0.15
    spoilt = images.equal_mse(original)
    scores = {name: ssimlab.ssim(original, spoilt[name], data_range=1.0) for name in SHOWN}
    panels = [figures.picture(original, "original\n")]
    panels += [
        figures.picture(
            spoilt[name],
            f"{name}\nMSE {images.mse(original, spoilt[name]):.4f}, SSIM {scores[name]:.2f}",
        )
        for name in SHOWN
    ]
    figures.show(*panels, width=10).savefig(
        PICTURE, dpi=110, pil_kwargs={"quality": 88, "method": 6}
    )
    print(f"{PICTURE.name}: {PICTURE.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
