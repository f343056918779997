"""Write the repository's address, which stands in _config.yml alone, wherever else it is needed.

That is the first cell of every notebook, which installs the package where it is missing; the
link to Colab in the notebook's head cell; and the links in README.md, CITATION.cff, pyproject.toml
and the pages under book/, where the address that pyproject.toml still holds is replaced.

    python -m tools.stamp_address            write
    python -m tools.stamp_address --check    change nothing; name the files that are stale
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent

INSTALL_CELL = """\
# Where ssimlab is missing, as on Colab, this installs it;
# SSIMLAB_SOURCE names another source.
import importlib.util
import os

if importlib.util.find_spec("ssimlab") is None:
    repository = "git+{url}"
    source = os.environ.get("SSIMLAB_SOURCE", repository)
    %pip install "ssimlab[lab,peers,kernels] @ {{source}}"
    importlib.invalidate_caches()"""

COLAB_LINK = re.compile(r"\[Open in Colab\]\([^)]*\)")


class Address:
    """The repository's address and what follows from it."""

    def __init__(self, url: str, branch: str):
        if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
            raise ValueError(
                f"repository.url in _config.yml must look like https://github.com/owner/name, "
                f"not {url!r}: Colab opens notebooks from there"
            )
        self.url = url
        self.colab = url.replace("https://github.com", "https://colab.research.google.com/github")
        self.branch = branch

    @classmethod
    def of(cls, root: Path) -> "Address":
        repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
        return cls(repository["url"].rstrip("/"), repository["branch"])

    def colab_link(self, notebook: str) -> str:
        return f"[Open in Colab]({self.colab}/blob/{self.branch}/notebooks/{notebook})"


def stamp_notebook(text: str, name: str, address: Address) -> str:
    """The notebook's text with its install cell and its Colab link as they should be."""
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell.get("id") != "install"]
    head = next((cell for cell in cells if cell["cell_type"] == "markdown"), None)
    if head is None:
        raise ValueError(f"{name} needs a Markdown cell with its title before it can be stamped")
    install = {
        "cell_type": "code",
        "execution_count": None,
        "id": "install",
        "metadata": {"tags": ["remove-cell"]},
        "outputs": [],
        "source": INSTALL_CELL.format(url=address.url).splitlines(keepends=True),
    }
    source = "".join(head["source"])
    link = address.colab_link(name)
    source = COLAB_LINK.sub(link, source) if COLAB_LINK.search(source) else f"{source}\n\n{link}"
    head["source"] = source.splitlines(keepends=True)
    notebook["cells"] = [install, *cells]
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def stamp_text(text: str, old: Address, new: Address) -> str:
    """The text with every link into the repository pointing to its address."""
    for before, after in ((old.url, new.url), (old.colab, new.colab)):
        # Not a longer name that begins with this one.
        text = re.sub(re.escape(before) + r"(?![\w-])", after, text)
    return re.sub(re.escape(new.colab) + r"/blob/[^/]+/", f"{new.colab}/blob/{new.branch}/", text)


def stamped(root: Path) -> dict[Path, str]:
    """Every file that holds the address, with the text that it should have."""
    new = Address.of(root)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf8"))["project"]
    old = Address(project["urls"]["Homepage"], new.branch)
    texts = {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        texts[path] = stamp_notebook(path.read_text(encoding="utf8"), path.name, new)
    plain = [root / name for name in ("README.md", "CITATION.cff", "pyproject.toml")]
    for path in [*plain, *sorted((root / "book").glob("*.md"))]:
        texts[path] = stamp_text(path.read_text(encoding="utf8"), old, new)
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if stale")
    check = parser.parse_args().check
    stale = [(p, t) for p, t in stamped(ROOT).items() if p.read_text(encoding="utf8") != t]
    for path, text in stale:
        print(f"{'stale' if check else 'stamped'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf8")
    if check and stale:
        sys.exit("Run `make stamp` to write the repository's address into these files.")


if __name__ == "__main__":
    main()
