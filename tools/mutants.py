"""Would the tests notice a slip of the hand? The mutants of the mathematics, and who kills them.

Each module of TESTS is changed in one small place after another (mutations.py says how), and its
tests are run on every such mutant until one fails. A mutant that no test notices is a survivor:
it asks for a test, or, where no test could tell it from the right version, for an entry with the
reason in mutants_equivalent.yml.

    python -m tools.mutants                    all modules; exit code 1 below 95 % killed
    python -m tools.mutants window stable      these alone
    python -m tools.mutants --sample 40        so many of each module, drawn by lot
    python -m tools.mutants --fresh            forget what earlier runs found

It takes its time, shows how far it is, and goes on where it was stopped: what has been found is
kept in _build/mutants.json as long as the module is the same. Survivors are tried again when a
test changes; the killed are not, save with --fresh.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from tqdm import tqdm

from tools.mutations import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "_build" / "mutants.json"
EQUIVALENT = ROOT / "tools" / "mutants_equivalent.yml"
LEAST = 0.95

#: The tests that speak of each module, those first that find most in the least time.
TESTS = {
    "_inputs": ["test_inputs", "test_multiscale", "test_losses", "test_window"],
    "window": ["test_window", "test_gradient", "test_properties"],
    "formula": ["test_reference", "test_naive", "test_gradient", "test_properties", "test_inputs"],
    "reference": ["test_reference", "test_properties", "test_inputs"],
    "stable": ["test_properties", "test_stable", "test_inputs"],
    "gradient": ["test_gradient", "test_properties", "test_inputs"],
    "multiscale": ["test_multiscale", "test_properties", "test_losses", "test_inputs"],
}
PYTEST = ["-x", "-q", "-p", "no:cacheprovider"]
PYTEST += ["-k", "not compile"]  # slow, and about the compiler
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already

#: Imported once, so that the processes that try the mutants need not.
SLOW_TO_IMPORT = [
    *("torch", "numpy", "mpmath", "hypothesis", "scipy.ndimage", "skimage.metrics"),
    *("skimage.data", "kornia.losses", "torchmetrics.functional.image", "pytorch_msssim"),
]
MEMORY = 8 << 30


class Attempt(NamedTuple):
    """A version of a module, and how long its tests may take."""

    module: str
    name: str
    source: str
    seconds: float


class Mutated(SourceFileLoader):
    """Gives ``import`` another source for one module, as finder and as loader."""

    def __init__(self, module: str, source: str):
        super().__init__(f"ssimlab.{module}", str(path_of(module)))
        self.source = source

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def get_code(self, fullname):
        return compile(self.source, self.path, "exec")


def path_of(module: str) -> Path:
    return ROOT / "ssimlab" / f"{module}.py"


def test_files(module: str) -> list[Path]:
    return [ROOT / "tests" / f"{name}.py" for name in TESTS[module]]


def try_in_this_process(attempt: Attempt) -> int:
    """Run the tests on the mutant and return 0 if none of them fails."""
    signal.alarm(round(attempt.seconds))  # ends the process: a mutant may loop for ever
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.environ["HYPOTHESIS_PROFILE"] = "unshrunk"
    sys.meta_path.insert(0, Mutated(attempt.module, attempt.source))
    files = map(str, test_files(attempt.module))
    return pytest.main([*PYTEST, *files])


def tried(attempts: Iterable[Attempt], jobs: int) -> Iterator[tuple[Attempt, bool, float]]:
    """Each attempt, whether it survived, and the seconds that it took, in the order of their end.

    Every one runs in a copy of this process, which has imported all that is slow to import, but
    nothing of the package.
    """
    waiting, running = iter(attempts), {}
    try:
        while True:
            while len(running) < jobs and (attempt := next(waiting, None)):
                if (child := os.fork()) == 0:
                    with suppress(BaseException):
                        os._exit(try_in_this_process(attempt))
                    os._exit(1)
                running[child] = attempt, time.monotonic()
            if not running:
                return
            child, status = os.wait()
            attempt, started = running.pop(child)
            yield attempt, status == 0, time.monotonic() - started
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)


def named_mutants(module: str) -> dict[str, Mutant]:
    """The mutants of a module by what they are known by, wherever their lines move."""
    named = {}
    for mutant in mutants(path_of(module).read_text(encoding="utf8")):
        name = f"{mutant.where}\n{mutant.change}"
        while name in named:
            name += "\n(again)"
        named[name] = mutant
    return named


def equivalents(module: str, named: dict[str, Mutant]) -> set[str]:
    """The names of the mutants that no test can tell from the right version."""
    listed = yaml.safe_load(EQUIVALENT.read_text(encoding="utf8"))
    names = {f"{one['where']}\n{one['change'].strip()}" for one in listed if one["in"] == module}
    if gone := names - named.keys():
        sys.exit(f"{EQUIVALENT.name} lists what is no mutant of {module}:\n" + "\n\n".join(gone))
    return names


def digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def earlier(module: str, found: dict, fresh: bool) -> dict:
    """What is known of the mutants of a module that is still the same, to be added to."""
    source = digest(path_of(module), ROOT / "tools" / "mutations.py")
    tests = digest(*sorted((ROOT / "tests").glob("*.py")))
    known = found.get(module)
    if fresh or known is None or known["source"] != source:
        known = {"source": source, "killed": [], "survived": []}
    elif known["tests"] != tests:
        known["survived"] = []
    return known | {"tests": tests}


def patience(modules: Iterable[str], jobs: int) -> dict[str, float]:
    """For each module, the seconds to wait for its tests; ends where they fail without a mutant."""
    unchanged = (Attempt(m, "unchanged", path_of(m).read_text("utf8"), 3600) for m in modules)
    seconds = {}
    for attempt, passed, took in tried(unchanged, jobs):
        if not passed:
            sys.exit(f"the tests of {attempt.module} fail without a mutant: mend them first")
        seconds[attempt.module] = 20 + 5 * took
    return seconds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Which mutants do the tests kill?")
    parser.add_argument("modules", nargs="*", metavar="module", help=", ".join(TESTS))
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--sample", type=int, metavar="N", help="try N more of each module alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    options = parser.parse_args(arguments)
    modules = options.modules or list(TESTS)
    if unknown := set(modules) - TESTS.keys():
        parser.error(f"no tests are known for {', '.join(unknown)}: choose from {', '.join(TESTS)}")
    for file in (file for m in modules for file in (path_of(m), *test_files(m))):
        if not file.exists():
            parser.error(f"{file.relative_to(ROOT)} is missing")

    os.chdir(ROOT)
    torch.set_num_threads(1)
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    everything: dict[str, dict[str, Mutant]] = {}
    waiting: list[tuple[str, str]] = []
    found = json.loads(FOUND.read_text("utf8")) if FOUND.exists() else {}
    for module in modules:
        everything[module] = named = named_mutants(module)
        for equivalent in equivalents(module, named):
            del named[equivalent]
        found[module] = known = earlier(module, found, options.fresh)
        for kind in ("killed", "survived"):
            known[kind] = [name for name in known[kind] if name in named]
        untried = sorted(named.keys() - {*known["killed"], *known["survived"]})
        random.Random(module).shuffle(untried)
        waiting += [(module, name) for name in untried[: options.sample]]
    seconds = patience(dict(waiting), options.jobs)
    attempts = [Attempt(m, name, everything[m][name].source, seconds[m]) for m, name in waiting]

    FOUND.parent.mkdir(exist_ok=True)
    with tqdm(tried(attempts, options.jobs), total=len(attempts), unit="mutant") as bar:
        for attempt, survived, _ in bar:
            known = found[attempt.module]["survived" if survived else "killed"]
            known.append(attempt.name)
            FOUND.write_text(json.dumps(found, indent=1), encoding="utf8")
            bar.set_postfix(survivors=sum(len(found[m]["survived"]) for m in modules))
    return report(everything, found)


def report(everything: dict[str, dict[str, Mutant]], found: dict) -> int:
    """Print the survivors and the shares; 1 where too few were killed."""
    for module, named in everything.items():
        for mutant in map(named.__getitem__, found[module]["survived"]):
            print(f"\nssimlab/{module}.py:{mutant.line} {mutant.where}\n{mutant.change}")
    print(f"\n{'module':<12}{'mutants':>8}{'killed':>8}{'share':>9}")
    killed = {module: len(found[module]["killed"]) for module in everything}
    tried = {m: count + len(found[m]["survived"]) for m, count in killed.items()}
    killed["together"], tried["together"] = sum(killed.values()), sum(tried.values())
    for name, count in tried.items():
        print(f"{name:<12}{count:>8}{killed[name]:>8}{killed[name] / count:>9.1%}")
    return int(killed["together"] < LEAST * tried["together"])


if __name__ == "__main__":
    sys.exit(main())
