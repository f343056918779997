"""Which modules of this project a piece of code depends on, read off its text.

Nothing is imported: every ``import`` is found in the syntax tree, at the top or in a function, and
followed to the module that defines what it asks for.

- A module counts whole, and with it all that it imports.
- An ``__init__`` that does nothing but hand on names (a docstring, imports, ``__all__`` and the
  like) does not count: ``from ssimlab import Window``, or ``import ssimlab`` and
  ``ssimlab.Window`` later, depends on ``window.py``. Where the name leads is kept as a route.
- An ``__init__`` that does more counts whole, and so does one whose package is passed about as an
  object, or asked for a name that it defines itself.
- A file of data (a style, a script, a template) counts with the modules of its folder that name
  it; if none does, with all of them.

What is imported by a computed name, or read from a folder other than the module's, is not seen.
"""

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)

#: A module, and the names that are asked of it one after another.
Lead = tuple[str, ...]


def notebook_code(notebook: dict) -> ast.Module:
    """The code cells of a notebook, without their magics."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ast.parse(MAGIC.sub(r"\1pass", "\n".join("".join(cell["source"]) for cell in cells)))


@dataclass
class Needs:
    """What a piece of code depends on.

    Attributes:
        modules: their names.
        routes: for each name that a package handed on, where it leads.
    """

    modules: set[str] = field(default_factory=set)
    routes: set[str] = field(default_factory=set)


class Project:
    """The packages that lie side by side in a folder; what else is imported is ignored.

    Args:
        root: the folder.
        packages: the names of the packages.
    """

    def __init__(self, root: Path = ROOT, packages: Iterable[str] = ("ssimlab", "claims")):
        self.root = root
        self.packages = tuple(packages)
        self._tree = functools.cache(self._read)
        self._needs = functools.cache(lambda module: self.needs(self._tree(module), module))

    def modules(self) -> list[str]:
        """The name of every module, a package's ``__init__`` under the name of the package."""
        files = [path for name in self.packages for path in (self.root / name).rglob("*.py")]
        parts = [path.relative_to(self.root).with_suffix("").parts for path in files]
        return sorted(".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts)

    def path(self, module: str) -> Path | None:
        """The file of a module; None if it is none of this project's."""
        if module.partition(".")[0] not in self.packages:
            return None
        place = self.root.joinpath(*module.split("."))
        files = (place / "__init__.py", place.with_suffix(".py"))
        return next((file for file in files if file.is_file()), None)

    def needs(self, code: ast.AST, module: str = "") -> Needs:
        """What code imports; ``module`` is its own name, which relative imports start from."""
        package = module if self._is_package(module) else module.rpartition(".")[0]
        uses = attributes(code)
        needs = Needs()
        for node in ast.walk(code):
            for name, lead in leads(node, package):
                end = self._follow(lead, needs)
                ends = {end}
                if self._is_package(end):
                    ends = {self._follow((end, *chain), needs) for chain in uses.get(name, {()})}
                needs.modules |= {end for end in ends if self.path(end)} - {module}
        return needs

    def needs_of(self, module: str) -> Needs:
        """What a module of the project imports."""
        return self._needs(module)

    def closure(self, needs: Needs) -> Needs:
        """What is needed, with all that it needs in turn."""
        closed, waiting = Needs(routes=set(needs.routes)), list(needs.modules)
        while waiting:
            module = waiting.pop()
            if module not in closed.modules:
                closed.modules.add(module)
                closed.routes |= self.needs_of(module).routes
                waiting += self.needs_of(module).modules
        return closed

    def files(self, needs: Needs) -> list[Path]:
        """The files of the modules, and the files of data that count with them."""
        modules = [path for module in needs.modules if (path := self.path(module))]
        return sorted({*modules, *(data for path in modules for data in data_of(path))})

    def only_hands_on(self, package: str) -> bool:
        """Whether a package's ``__init__`` holds but a docstring, imports and ``__dunders__``."""

        def is_dunder(target: ast.expr) -> bool:
            return isinstance(target, ast.Name) and target.id.startswith("__")

        return all(
            isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.Assign) and all(map(is_dunder, node.targets)))
            for node in self._tree(package).body
        )

    def _read(self, module: str) -> ast.Module:
        path = self.path(module)
        return ast.parse(path.read_text(encoding="utf8") if path else "")

    def _is_package(self, module: str) -> bool:
        ours = module.partition(".")[0] in self.packages
        return ours and self.root.joinpath(*module.split(".")).is_dir()

    def _follow(self, lead: Lead, needs: Needs) -> str:
        """The module at which a lead ends; what it passes on the way is needed too."""
        module, *names = lead
        while names and self._is_package(module):
            if not self.only_hands_on(module):
                needs.modules.add(module)
            imported = dict(n for node in self._tree(module).body for n in leads(node, module))
            onward = imported.get(names[0], lead)
            if names[0] in imported and onward != (module, names[0]):
                needs.routes.add(f"{module}.{names[0]} = {'.'.join(onward)}")
                module, *names = *onward, *names[1:]
            elif self._is_package(inner := f"{module}.{names[0]}") or self.path(inner):
                module, *names = inner, *names[1:]
            else:
                break  # the package defines the name itself
        return module


def leads(node: ast.AST, package: str) -> Iterator[tuple[str, Lead]]:
    """The names that an import binds, each with where it leads; ``package`` is where it stands."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, (alias.name,)) if alias.asname else (top, (top,))
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")
        base = above[: len(above) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, (source, alias.name)


def attributes(code: ast.AST) -> dict[str, set[Lead]]:
    """How each name is used: the attributes asked of it in a row, none where it stands alone."""
    uses, within = defaultdict(set), set()
    for node in ast.walk(code):  # outer nodes first
        if node in within:
            continue
        chain, base = [], node
        while isinstance(base, ast.Attribute):
            chain.insert(0, base.attr)
            base = base.value
            within.add(base)
        if isinstance(base, ast.Name):
            uses[base.id].add(tuple(chain))
    return uses


def data_of(module: Path) -> Iterator[Path]:
    """The files of data that count with a module."""

    def data_in(folder: Path) -> Iterator[Path]:
        for entry in folder.iterdir():
            if entry.is_file() and entry.suffix != ".py":
                yield entry
            elif entry.is_dir() and entry.name != "__pycache__" and not any(entry.glob("*.py")):
                yield from data_in(entry)

    for data in data_in(module.parent):
        naming = {p for p in module.parent.glob("*.py") if data.name in p.read_text("utf8")}
        if module in naming or not naming:
            yield data
