"""Imports go one way, down; and the picture of them in CONTRIBUTING.md is the latest."""

import graphlib

import pytest

from tools import house
from tools.imports import Project

#: From the top of the house down. A part may import those of its own line and of those below it.
LAYERS = (
    "notebooks tools",
    "claims benchmarks",
    "ssimlab.lab ssimlab.conformance",
    "ssimlab.trace",
    "ssimlab.losses",
    "ssimlab.multiscale",
    "ssimlab.stable ssimlab.naive ssimlab.reference "
    "ssimlab.gradient ssimlab.attempts ssimlab.jacobian",
    "ssimlab.formula ssimlab.window ssimlab.kernels",
    "ssimlab._inputs ssimlab._extras ssimlab._command",
)

#: What imports nothing of the project, and what knows nothing of each other.
ALONE = {"ssimlab.trace"}
STRANGERS = [
    {"ssimlab.lab", "ssimlab.conformance"},
    {"notebooks", "tools"},
    {"notebooks", "claims"},
    {"notebooks", "benchmarks"},
    {"claims", "benchmarks"},
    # The oracle and what it judges.
    {"ssimlab.reference", "ssimlab.stable"},
    {"ssimlab.reference", "ssimlab.naive"},
    {"ssimlab.reference", "ssimlab.gradient"},
    {"ssimlab.reference", "ssimlab.attempts"},
]


@pytest.fixture(scope="module")
def imported() -> house.House:
    return house.house()


def test_every_part_of_the_house_has_its_place(imported):
    placed = {part for layer in LAYERS for part in layer.split()}
    assert imported.keys() <= placed, "say in LAYERS where the new part belongs"


def test_nothing_imports_what_is_above_it(imported):
    depth = {part: depth for depth, layer in enumerate(LAYERS) for part in layer.split()}
    upward = [
        f"{part} imports {other}"
        for part, others in imported.items()
        for other in others
        if depth[other] < depth[part]
    ]
    assert not upward


def test_nobody_imports_in_a_circle(imported):
    tuple(graphlib.TopologicalSorter(imported).static_order())


def test_what_stands_alone_imports_nothing_of_the_project(imported):
    assert {part: imported[part] for part in ALONE} == {part: set() for part in ALONE}


def test_strangers_do_not_import_each_other(imported):
    for strangers in STRANGERS:
        assert not [part for part in strangers if imported[part] & strangers]


def test_a_package_does_nothing_but_hand_on_names():
    """An ``__init__`` that does more would bind everyone who imports from it to all of it."""
    project = Project()
    packages = [m for m in project.modules() if project.path(m).name == "__init__.py"]
    assert {"ssimlab", "claims", "ssimlab.lab.check"} <= set(packages)
    assert not [package for package in packages if not project.only_hands_on(package)]


def test_the_picture_is_made_from_the_imports_as_they_are(imported):
    text = house.PAGE.read_text(encoding="utf8")
    assert house.PLACE.search(text)[0] == house.picture(imported), "run `make house`"


def test_an_arrow_that_follows_from_others_is_left_out():
    imported = {
        "claims": {"ssimlab.b", "ssimlab.c", "ssimlab.d"},
        "ssimlab.b": {"ssimlab.c", "ssimlab.d"},
        "ssimlab.c": {"ssimlab.d"},
        "ssimlab.d": set(),
        "ssimlab.e": {"ssimlab.c"},
        "ssimlab.f": set(),
    }
    arrows = house.reduced(imported)
    assert arrows == {
        "claims": {"ssimlab.b"},
        "ssimlab.b": {"ssimlab.c"},
        "ssimlab.c": {"ssimlab.d"},
        "ssimlab.d": set(),
        "ssimlab.e": {"ssimlab.c"},
        "ssimlab.f": set(),
    }
    for part, ends in arrows.items():
        assert all(list(arrows).index(part) < list(arrows).index(end) for end in ends)
    lines = house.picture(imported).splitlines()
    assert {"    b & e --> c", "    e & b --> c"} & {*lines}
    assert {"    c --> d", "    f", "  claims --> b"} <= {*lines}
    with pytest.raises(graphlib.CycleError):
        house.reduced({"a": {"b"}, "b": {"a"}})


def test_the_check_tells_a_stale_picture_and_the_command_mends_it(tmp_path, monkeypatch):
    page = tmp_path / "CONTRIBUTING.md"
    page.write_text("Before.\n\n<!-- house -->\nold\n<!-- /house -->\n\nAfter.\n")
    monkeypatch.setattr(house, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["house", "--check"])
    with pytest.raises(SystemExit, match="stale: run `make house`"):
        house.main()
    monkeypatch.setattr("sys.argv", ["house"])
    house.main()
    text = page.read_text()
    assert text.startswith("Before.\n\n<!-- house -->\n```mermaid\n")
    assert text.endswith("```\n<!-- /house -->\n\nAfter.\n")
    monkeypatch.setattr("sys.argv", ["house", "--check"])
    house.main()
