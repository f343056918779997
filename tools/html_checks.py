"""What every page of the built book must satisfy that can be read off its HTML."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Docutils gives a picture without alt text its file's name.
FILE_NAME = re.compile(r"\.(png|jpe?g|svg|webp|gif)$", re.IGNORECASE)
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
FETCHED_LINKS = {"stylesheet", "icon", "preload"}


class Tags(HTMLParser):
    """The tags of a page that the checks ask for, read in one pass: a page has megabytes.

    Attributes:
        anchors: every id.
        links: where each link leads.
        pictures: the attributes of the pictures of the content.
        fetched: name and attributes of each tag that fetches something.
    """

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.fetched: list[tuple[str, dict[str, str]]] = []
        self._depth = 0  # in how many articles
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._depth += tag == "article"
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if tag == "img" and self._depth:
            self.pictures.append(attributes)
        if FETCHED.get(tag) in attributes:
            self.fetched.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"


@cache
def tags(path: Path) -> Tags:
    return Tags(path.read_text(encoding="utf8"))


def pictures_without_text(page: Path) -> list[str]:
    """Pictures of the content whose alt text is missing, empty or a file's name."""
    found = []
    for image in tags(page).pictures:
        text = image.get("alt", "").strip()
        if not text or FILE_NAME.search(text):
            found.append(f"a picture has no alt text: {image.get('src', '')[:80]}")
    return found


def outside_resources(page: Path) -> list[str]:
    """Scripts, styles, pictures and frames that the page would fetch from another host."""
    found = []
    for tag, attributes in tags(page).fetched:
        address = attributes[FETCHED[tag]]
        fetched = tag != "link" or FETCHED_LINKS & {*attributes.get("rel", "").split()}
        if fetched and urlsplit(address).netloc:
            found.append(f"<{tag}> is fetched from another host: {address}")
    return found


def dead_links(page: Path, root: Path) -> list[str]:
    """Links within the book whose page or anchor does not exist."""
    found = []
    for address in tags(page).links:
        link = urlsplit(address)
        if link.scheme or link.netloc:
            continue
        target = (page.parent / unquote(link.path)).resolve() if link.path else page
        if target.is_dir():
            target = target / "index.html"
        anchor = unquote(link.fragment)
        if not target.is_relative_to(root.resolve()) or not target.exists():
            found.append(f"a link leads nowhere: {address}")
        elif anchor and target.suffix == ".html" and anchor not in tags(target).anchors:
            found.append(f"a link leads to an anchor that is not there: {address}")
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
