"""What the outputs of notebooks, the findings of claims and the pages depend on, as digests.

All of them depend on requirements.txt, on Python and on torch. Beside these,

- a notebook's outputs depend on its code cells, which the cache of outputs compares by itself, and
  on the modules that these import, directly or not: see imports.py;
- a claim's finding depends on the claim's own function (not on the decorator above it, nor on
  comments), on what stands in its module beside other claims, and on the modules that its module
  imports, directly or not; no claim calls another;
- the pages depend on every file of the book, the chapters, the claims, the package and the tools.

So a typo in a chapter's prose runs nothing, a comma in a paraphrase measures nothing, and no claim
that changes runs a notebook, or the reverse.
"""

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.imports import ROOT, Needs, Project, notebook_code


def digest(root: Path, files: Iterable[Path], words: Iterable[str] = ()) -> str:
    """A digest of names, contents and words: it changes when any of them does."""
    hashed = hashlib.sha256()
    for file in sorted({*files, root / "requirements.txt"}):
        hashed.update(f"{file.relative_to(root).as_posix()}\0".encode())
        hashed.update(hashlib.sha256(file.read_bytes()).digest())
    for word in (sys.version, importlib.metadata.version("torch"), *words):
        hashed.update(f"{word}\0".encode())
    return hashed.hexdigest()


def of_notebook(project: Project, path: Path) -> str:
    """What a notebook's outputs depend on beside its code cells."""
    code = notebook_code(json.loads(path.read_text(encoding="utf8")))
    return _of_needs(project, project.needs(code))


def of_claims(project: Project) -> dict[str, str]:
    """What the finding of each claim depends on, by the claims' numbers."""
    found = {}
    for path in sorted((project.root / "claims").glob("*.py")):
        module = ast.parse(path.read_text(encoding="utf8"))
        helpers = [ast.dump(node) for node in module.body if not _claim_number(node)]
        around = _of_needs(project, project.needs(module, f"claims.{path.stem}"), helpers)
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and (number := _claim_number(node)):
                node.decorator_list = []
                own = f"{around}\0{ast.dump(node)}"
                found[number] = hashlib.sha256(own.encode()).hexdigest()
    return found


def of_pages(root: Path = ROOT) -> str:
    """What the pages depend on."""
    folders = [root / name for name in ("book", "notebooks", "claims", "ssimlab", "tools")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    made = ("__pycache__", ".ipynb_checkpoints")
    files = [file for file in files if file.parent.name not in made]
    return digest(root, [*files, root / "_config.yml", root / "_toc.yml"])


def _of_needs(project: Project, needs: Needs, words: Iterable[str] = ()) -> str:
    closure = project.closure(needs)
    return digest(project.root, project.files(closure), [*sorted(closure.routes), *words])


def _claim_number(node: ast.AST) -> str | None:
    """The number of the claim that a function tests; None for everything else."""
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "claim":
            return ast.literal_eval(decorator.args[0])
    return None
