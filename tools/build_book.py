"""Build the book into _build/html, or say that it is up to date: ``python -m tools.build_book``.

1. The claims are measured and their page is written; the recorded benchmarks become tables.
2. Every page of _toc.yml has to exist.
3. Notebooks run in parallel, each in an empty folder, and their outputs are kept in
   _build/outputs. One that measures time (``"ssimlab": {"alone": true}`` in its metadata) runs
   after the others, with the machine to itself.
4. Sphinx makes all pages from those outputs, with warnings as errors.
5. The pages are checked: see html_checks.py.

Each step does again only what something has changed for: see fingerprints.py.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, NbValidityError
from jupyter_cache.executors.utils import single_nb_execution

import claims
from claims import page as claims_page
from tools import benchmark_tables, fingerprints
from tools.html_checks import problems
from tools.imports import ROOT, Project

BUILD = ROOT / "_build"
HTML = BUILD / "html"
STAMP = HTML / ".fingerprint"
OUTPUTS = BUILD / "outputs"
FINDINGS = BUILD / "claims.json"
COLORS = re.compile(r"\x1b\[[0-9;]*m")

NOTEBOOK_ENVIRONMENT = {
    "SSIMLAB_STATIC": "1",  # explorers come as plain HTML, alive in a page without a kernel
    "PYTHONHASHSEED": "0",
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


def is_current() -> bool:
    """Whether the pages are those of the sources as they are now."""
    return STAMP.exists() and STAMP.read_text() == fingerprints.of_pages()


def findings_of_claims(project: Project, kept_in: Path = FINDINGS) -> dict[str, claims.Finding]:
    """The finding of every claim: as it was kept, or measured if it may be another by now."""
    kept = json.loads(kept_in.read_text(encoding="utf8")) if kept_in.exists() else {}
    now = fingerprints.of_claims(project)
    changed = [
        claim
        for claim in claims.all_claims()
        if kept.get(claim.number, {}).get("fingerprint") != now[claim.number]
    ]
    if changed:
        print(f"Measuring {len(changed)} of {len(now)} claims", flush=True)
        for number, finding in claims.measure(changed).items():
            kept[number] = {"fingerprint": now[number], "finding": vars(finding)}
        kept_in.parent.mkdir(exist_ok=True)
        kept_in.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf8")
    else:
        print("The findings of all claims are up to date.", flush=True)
    return {number: claims.Finding(**kept[number]["finding"]) for number in now}


def write_claims(project: Project) -> None:
    """Bring the page of the claims up to date; end the build if a verdict has changed."""
    findings = findings_of_claims(project)
    claims_page.write(findings)
    if surprises := claims.surprises(findings):
        sys.exit("\n".join(["Verdicts have changed, so no page was made.", *surprises]))


def runs_alone(path: Path) -> bool:
    """Whether a notebook says that it needs the machine to itself."""
    metadata = json.loads(path.read_text(encoding="utf8"))["metadata"]
    return metadata.get("ssimlab", {}).get("alone", False)


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


def changed_notebooks(cache, project: Project, notebooks: list[Path]) -> dict[Path, str]:
    """The notebooks whose outputs are not in the cache as they would be now, and what to note."""
    changed = {}
    for path in notebooks:
        expected = fingerprints.of_notebook(project, path)
        try:
            record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
        except KeyError:
            changed[path] = expected
        else:
            if record.data.get("fingerprint") != expected:
                changed[path] = expected
    return changed


def execute_changed(project: Project, notebooks: list[Path], jobs: int) -> None:
    """Bring the cache up to date; end the build where a notebook fails."""
    cache = get_cache(OUTPUTS)
    cache.change_cache_limit(10 * len(notebooks) + 1)
    changed = changed_notebooks(cache, project, notebooks)
    if not changed:
        print("The outputs of all notebooks are up to date.", flush=True)
        return

    print(f"Running {len(changed)} of {len(notebooks)} notebooks, {jobs} at a time", flush=True)
    failed = []
    for done, (path, run) in enumerate(runs(list(changed), jobs), start=1):
        try:
            notebook, seconds = run.result()
            noted = {"fingerprint": changed[path], "execution_seconds": seconds}
            bundle = CacheBundleIn(notebook, str(path), data=noted)
            cache.cache_notebook_bundle(bundle, overwrite=True)
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


def runs(notebooks: list[Path], jobs: int) -> Iterator[tuple[Path, Future]]:
    """Each notebook with its run, as they end: side by side, a core for each, and then alone."""
    alone = [path for path in notebooks if runs_alone(path)]
    beside = [path for path in notebooks if path not in alone]
    os.environ.update(NOTEBOOK_ENVIRONMENT)
    for group, workers, cores in ((beside, jobs, "1"), (alone, 1, str(os.cpu_count()))):
        os.environ["OMP_NUM_THREADS"] = cores
        with ProcessPoolExecutor(workers) as pool:
            running = {pool.submit(execute, path): path for path in group}
            yield from ((running[run], run) for run in as_completed(running))


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="notebooks that run at a time")
    jobs = parser.parse_args().jobs
    start = time.perf_counter()
    project = Project()
    write_claims(project)
    benchmark_tables.write_chapter()
    if is_current():
        print(f"The book is up to date: {HTML / 'index.html'}")
        return
    made_from = fingerprints.of_pages()
    execute_changed(project, [file for file in sources() if file.suffix == ".ipynb"], jobs)
    make_pages()
    STAMP.write_text(made_from)
    print(f"The book is built in {time.perf_counter() - start:.0f} s: {HTML / 'index.html'}")


if __name__ == "__main__":
    main()
