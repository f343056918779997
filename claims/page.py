"""The page "Claims, tested": every claim, its verdict and what was measured.

A line for each claim, which opens without JavaScript; the script at the end of the page adds
filters. The template, the style and the script lie beside this file.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2
import yaml
from markupsafe import Markup

from .registry import DOCUMENTS, Claim, Finding, Verdict, all_claims, show

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "book" / "_generated" / "claims.md"
LIBRARIES = ("torch", "torchmetrics", "kornia", "pytorch-msssim")

#: The chapter that tells a concept's story.
CHAPTERS = {
    "seeing": "notebooks/02_from_the_paper_to_code",
    "jacobian": "notebooks/03_a_gradient_is_not_a_jacobian",
    "gradient": "notebooks/04_the_gradient_of_ssim_by_hand",
    "autograd": "notebooks/05_watching_autograd_work",
    "floats": "notebooks/06_numbers_with_edges",
    "losses": "notebooks/07_nan_in_everyday_losses",
    "failures": "notebooks/08_how_ssim_really_fails",
    "stable": "notebooks/10_a_stable_ssim",
    "protocol": "notebooks/11_a_protocol_for_nan",
    "training": "notebooks/12_training_with_ssim",
}


@cache
def title(chapter: str) -> str:
    """The first heading of a chapter's notebook."""
    notebook = json.loads((ROOT / f"{chapter}.ipynb").read_text(encoding="utf8"))
    text = "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] != "code")
    return next(line[2:].strip() for line in text.splitlines() if line.startswith("# "))


@cache
def repository() -> str:
    """The address under which the repository shows its files."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
    return f"{config['url'].rstrip('/')}/blob/{config['branch']}"


def code(claim: Claim) -> str:
    """The address of the lines of a claim's function."""
    lines, first = inspect.getsourcelines(claim.measure)
    path = Path(inspect.getfile(claim.measure)).resolve().relative_to(ROOT).as_posix()
    return f"{repository()}/{path}#L{first}-L{first + len(lines) - 1}"


def varied(claim: Claim) -> str:
    """What was tried: the first lines of a claim's function."""
    return " ".join((claim.measure.__doc__ or "").split())


def render(findings: Mapping[str, Finding]) -> str:
    """The whole page in MyST Markdown; ``findings`` by the claims' numbers."""
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"show": show, "title": title, "code": code, "varied": varied}
    documents = [
        (
            document,
            [
                (claim, findings[claim.number], claim.verdict(findings[claim.number]))
                for claim in all_claims()
                if claim.document is document
            ],
        )
        for document in DOCUMENTS
    ]
    return environment.get_template("page.md.jinja").render(
        documents=documents,
        count=len(findings),
        verdicts=list(Verdict),
        chapters=CHAPTERS,
        versions=[f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES],
        style=Markup((HERE / "page.css").read_text(encoding="utf8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf8")),
    )


def write(findings: Mapping[str, Finding], path: Path = PAGE) -> None:
    """Write the page, unless it is the same as before."""
    text = render(findings)
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf8") != text:
        path.write_text(text, encoding="utf8")
