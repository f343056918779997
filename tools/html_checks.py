"""What every page of the built book must satisfy that can be read off its HTML."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

# Docutils gives a picture without alt text its file's name.
FILE_NAME = re.compile(r"\.(png|jpe?g|svg|webp|gif)$", re.IGNORECASE)


@cache
def parse(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(tag["id"] for tag in parse(path).find_all(id=True))


def is_outside(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def pictures_without_text(page: Path) -> list[str]:
    """Pictures of the content whose alt text is missing, empty or a file's name."""
    found = []
    for image in parse(page).select("article img"):
        text = image.get("alt", "").strip()
        if not text or FILE_NAME.search(text):
            found.append(f"a picture has no alt text: {image.get('src', '')[:80]}")
    return found


def outside_resources(page: Path) -> list[str]:
    """Scripts, styles, pictures and frames that the page would fetch from another host."""
    found = []
    for tag in parse(page).select("script[src], link[href], img[src], iframe[src], source[src]"):
        address = tag.get("src") or tag.get("href")
        fetched = tag.name != "link" or set(tag.get("rel", [])) & {"stylesheet", "icon", "preload"}
        if fetched and is_outside(address):
            found.append(f"<{tag.name}> is fetched from another host: {address}")
    return found


def dead_links(page: Path, root: Path) -> list[str]:
    """Links within the book whose page or anchor does not exist."""
    found = []
    for tag in parse(page).select("a[href]"):
        link = urlsplit(tag["href"])
        if link.scheme or link.netloc:
            continue
        target = (page.parent / unquote(link.path)).resolve() if link.path else page
        if target.is_dir():
            target = target / "index.html"
        anchor = unquote(link.fragment)
        if not target.is_relative_to(root.resolve()) or not target.exists():
            found.append(f"a link leads nowhere: {tag['href']}")
        elif anchor and target.suffix == ".html" and anchor not in anchors(target):
            found.append(f"a link leads to an anchor that is not there: {tag['href']}")
    return found


def problems(root: Path, pages: list[str]) -> list[str]:
    """Everything that is wrong with the pages built into ``root``, one line each."""
    found = []
    for name in pages:
        page = (root / name).resolve()
        if not page.exists():
            found.append(f"{name}: the page was not made")
            continue
        checks = pictures_without_text(page) + outside_resources(page) + dead_links(page, root)
        found += [f"{name}: {problem}" for problem in checks]
    return found
