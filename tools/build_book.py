"""Build the book into _build/html, or say that it is up to date.

1. The claims are measured and their page is written: see claims_page.py.
2. Every page of _toc.yml has to exist.
3. Notebooks whose code changed run in parallel, each in an empty folder, and their outputs are
   kept in _build/outputs. Outputs depend on the package and on the environment too, which the
   cache does not know: where those change, it is thrown away and every notebook runs again.
4. Sphinx makes all pages from those outputs, with warnings as errors.
5. The pages are checked: see html_checks.py.
"""

import argparse
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, NbValidityError
from jupyter_cache.executors.utils import single_nb_execution

from claims import page as claims_page
from tools.html_checks import problems

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
HTML = BUILD / "html"
COLORS = re.compile(r"\x1b\[[0-9;]*m")

NOTEBOOK_ENVIRONMENT = {
    "SSIMLAB_STATIC": "1",  # explorers come as plain HTML, alive in a page without a kernel
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",  # notebooks share the cores by running side by side
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def toc_pages(root: Path = ROOT) -> list[str]:
    """The pages of the table of contents in reading order, without their suffix."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))

    def below(entry: dict) -> list[str]:
        files = [entry["file"]] if "file" in entry else []
        groups = (entry.get(key, []) for key in ("parts", "chapters", "sections"))
        return files + [file for group in groups for child in group for file in below(child)]

    return [toc["root"], *below(toc)]


def sources(root: Path = ROOT) -> list[Path]:
    """The file behind each page; the missing ones end the build."""
    found, missing = [], []
    for page in toc_pages(root):
        files = [root / f"{page}{suffix}" for suffix in (".md", ".ipynb")]
        existing = [file for file in files if file.exists()]
        found += existing
        if len(existing) != 1:
            missing.append(f"  {page}: {'both .md and .ipynb exist' if existing else 'missing'}")
    if missing:
        sys.exit("_toc.yml names pages that cannot be built:\n" + "\n".join(missing))
    return found


def files_under(*folders: Path) -> list[Path]:
    found = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [file for file in found if "__pycache__" not in file.parts]


def fingerprint(files: Iterable[Path], *words: str) -> str:
    """A digest of names, contents and words: it changes when any of them does."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    for word in (sys.version, importlib.metadata.version("torch"), *words):
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()


def what_outputs_depend_on() -> str:
    return fingerprint([*files_under(ROOT / "ssimlab"), ROOT / "requirements.txt"])


def what_pages_depend_on() -> str:
    files = [*files_under(ROOT / "book", ROOT / "tools"), *sources()]
    files += [ROOT / "_config.yml", ROOT / "_toc.yml"]
    return fingerprint({*files}, what_outputs_depend_on())


def is_current(folder: Path, expected: str) -> bool:
    stamp = folder / ".fingerprint"
    return stamp.exists() and stamp.read_text() == expected


def execute(path: Path) -> tuple[nbformat.NotebookNode, float]:
    """Run one notebook from its first cell to its last, with nothing beside it."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as empty:
        result = single_nb_execution(
            notebook,
            cwd=empty,
            timeout=180,
            allow_errors=False,
            # Below an error, a kernel says nothing but that it listens on this machine's TCP.
            extra_arguments=["--log-level=ERROR"],
        )
    if result.err is not None:
        raise RuntimeError(COLORS.sub("", str(result.err)))
    return notebook, result.time


def execute_changed(notebooks: list[Path], jobs: int) -> None:
    """Bring the cache up to date; end the build where a notebook fails."""
    folder, expected = BUILD / "outputs", what_outputs_depend_on()
    if not is_current(folder, expected):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / ".fingerprint").write_text(expected)
    cache = get_cache(folder)
    cache.change_cache_limit(10 * len(notebooks) + 1)
    changed = []
    for path in notebooks:
        try:
            cache.match_cache_notebook(nbformat.read(path, as_version=4))
        except KeyError:
            changed.append(path)
    if not changed:
        print("The outputs of all notebooks are up to date.", flush=True)
        return

    print(f"Running {len(changed)} of {len(notebooks)} notebooks, {jobs} at a time", flush=True)
    os.environ.update(NOTEBOOK_ENVIRONMENT)
    failed = []
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(execute, path): path for path in changed}
        for done, run in enumerate(as_completed(running), start=1):
            path = running[run]
            try:
                notebook, seconds = run.result()
                cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), overwrite=True)
                outcome = f"{seconds:.1f} s"
            except NbValidityError:
                failed.append(f"{path.name}: not every code cell ran")
                outcome = "FAILED"
            except Exception as error:
                failed.append(f"{path.name}:\n{error}")
                outcome = "FAILED"
            print(f"  [{done}/{len(changed)}] {path.stem}: {outcome}", flush=True)
    if failed:
        sys.exit("\n\n".join(["A notebook failed, so no page was made.", *failed]))


def make_pages() -> None:
    """Make every page anew, so that a warning of an unchanged page is seen again too."""
    for leftover in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(BUILD / leftover, ignore_errors=True)
    strict = ["-W", "-n", "--keep-going"]
    program = Path(sys.executable).parent / "jupyter-book"
    if subprocess.run([program, "build", ROOT, *strict], cwd=ROOT).returncode:
        sys.exit("Sphinx found what is listed above; a warning counts as an error.")
    found = problems(HTML, [f"{page}.html" for page in toc_pages()])
    if found:
        sys.exit("The pages were made, but:\n" + "\n".join(f"  {line}" for line in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="notebooks that run at a time")
    jobs = parser.parse_args().jobs
    if surprises := claims_page.write(what_outputs_depend_on()):
        sys.exit("\n".join(["Verdicts have changed, so no page was made.", *surprises]))
    expected = what_pages_depend_on()
    if is_current(HTML, expected):
        print(f"The book is up to date: {HTML / 'index.html'}")
        return
    start = time.perf_counter()
    execute_changed([file for file in sources() if file.suffix == ".ipynb"], jobs)
    make_pages()
    (HTML / ".fingerprint").write_text(expected)
    print(f"The book is built in {time.perf_counter() - start:.0f} s: {HTML / 'index.html'}")


if __name__ == "__main__":
    main()
