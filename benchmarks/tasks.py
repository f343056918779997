"""What is timed: kinds of score, shapes, with or without the gradient, threads, instructions."""

from __future__ import annotations

from dataclasses import dataclass

BATCH = (8, 3, 256, 256)
FULL_HD = (1, 3, 1080, 1920)
SMALL = (16, 1, 64, 64)
SHAPES = (BATCH, FULL_HD, SMALL)
PUBLISHED = (5, 5, 1080, 1920)  # what fused-ssim's authors time

#: Environments that hold a process to AVX2: Numba's compiler, and torch's own choice of kernels.
#: Libraries that choose for themselves do as they like.
ISA = {
    "native": {},
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


@dataclass(frozen=True)
class Task:
    """One setting.

    Attributes:
        kind: which candidates, see :data:`benchmarks.peers.KINDS`.
        shape: (N, C, H, W) of either image.
        backward: whether the gradient of the mean by the first image is asked for too.
        threads: how many; 0 stands for all.
        isa: the instructions allowed, a key of :data:`ISA`.
    """

    kind: str
    shape: tuple[int, int, int, int]
    backward: bool = True
    threads: int = 0
    isa: str = "native"

    @property
    def name(self) -> str:
        """As ``--only`` and the progress line have it: ssim-8x3x256x256-both-all-native."""
        shape = "x".join(map(str, self.shape))
        pass_ = "both" if self.backward else "forward"
        return f"{self.kind}-{shape}-{pass_}-{self.threads or 'all'}-{self.isa}"

    @property
    def device(self) -> str:
        """Where the images are."""
        return "cuda" if self.kind in ("gpu", "gpu-compiled") else "cpu"

    @property
    def rounds(self) -> int:
        """How often each candidate is timed in each process; large images are seldom noisy."""
        n, c, height, width = self.shape
        if self.kind == "second":
            return 3
        return 5 if n * c * height * width > 4_000_000 else 11


TASKS = (
    *(
        Task("ssim", shape, backward, threads)
        for threads in (0, 1)
        for backward in (True, False)
        for shape in SHAPES
    ),
    *(Task("tuned", shape) for shape in SHAPES),
    *(Task("ssim", shape, isa="avx2") for shape in SHAPES),
    Task("second", BATCH),
    Task("ms_ssim", BATCH),
    *(Task("bytes", shape, backward=False) for shape in (BATCH, FULL_HD)),
    *(
        Task(kind, (1, channels, height, width), backward=False)
        for kind in ("box", "matlab")
        for channels in (1, 3)
        for height, width in ((256, 256), (1080, 1920))
    ),
)

GPU_TASKS = (
    *(
        Task("gpu", shape, backward)
        for backward in (True, False)
        for shape in (BATCH, PUBLISHED, SMALL)
    ),
    Task("gpu-compiled", BATCH),
)
