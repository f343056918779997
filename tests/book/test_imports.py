"""What a piece of code depends on, on a small made-up package."""

import ast

import pytest

from tools.imports import Project, notebook_code

FILES = {
    "pkg/__init__.py": '''
        """A package that hands on names."""
        import math
        from . import low
        from .high import top, top as peak
        from .sub import thing
        __all__ = ["low", "peak", "thing", "top"]
    ''',
    "pkg/low.py": "x = 1",
    "pkg/high.py": "from .low import x",
    "pkg/late.py": "def f():\n    from pkg import top",
    "pkg/alone.py": "import torch",
    "pkg/sub/__init__.py": "from .inner import inner as thing",
    "pkg/sub/inner.py": "from ..alone import y",
    "pkg/sub/reader.py": 'style = "reader.css"',
    "pkg/sub/reader.css": "",
    "pkg/sub/templates/page.html": "",
    "pkg/thick/__init__.py": "from .a import name\nregistry = {}",
    "pkg/thick/a.py": "",
    "pkg/thick/b.py": "from . import registry",
    "bare/tool.py": "import pkg.low as renamed",
    "elsewhere/module.py": "from pkg import low",
}


@pytest.fixture
def project(tmp_path) -> Project:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))
    return Project(tmp_path, ("pkg", "bare"))


def modules(project: Project, code: str) -> str:
    needs = project.closure(project.needs(ast.parse(code)))
    return " ".join(sorted(module.removeprefix("pkg.") for module in needs.modules))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import pkg.alone\npkg.alone.y", "alone"),
        ("import pkg.high as h", "high low"),
        ("from pkg import low", "low"),
        ("from pkg.high import top", "high low"),
        ("from pkg import late", "high late low"),
        ("def f():\n    if True:\n        from pkg import alone", "alone"),
        ("from bare.tool import f", "bare.tool low"),
        ("from bare import tool", "bare.tool low"),
        ("import elsewhere.module, torch", ""),
        ("x = 'import pkg.low'", ""),
    ],
)
def test_an_imported_module_counts_with_all_that_it_imports(project, code, expected):
    assert modules(project, code) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from pkg import top", "high low"),
        ("from pkg import peak as summit", "high low"),
        ("from pkg import thing", "alone sub.inner"),
        ("from pkg.sub import thing", "alone sub.inner"),
        ("import pkg\npkg.top(1).low", "high low"),
        ("import pkg as p\np.sub.thing, p.low.x", "alone low sub.inner"),
        ("from pkg import sub\nsub.thing", "alone sub.inner"),
        ("from pkg import sub\nsub.reader.style", "sub.reader"),
    ],
)
def test_a_name_handed_on_by_a_package_leads_to_the_module_that_defines_it(project, code, expected):
    assert modules(project, code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "import pkg",
        "import pkg\nf(pkg)",
        "import pkg\npkg.low\ngetattr(pkg, name)",
        "import pkg\npkg.__all__",
        "from pkg import *",
    ],
)
def test_a_package_that_is_used_as_an_object_counts_whole(project, code):
    assert modules(project, code) == "alone high low pkg sub.inner"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from pkg.thick import name", "thick thick.a"),
        ("from pkg.thick import b", "thick thick.a thick.b"),
        ("from pkg.thick import registry", "thick thick.a"),
    ],
)
def test_an_init_that_does_more_than_hand_on_names_counts(project, code, expected):
    assert modules(project, code) == expected


def test_where_a_name_leads_is_kept(project, tmp_path):
    code = ast.parse("from pkg import top, late")
    assert project.needs(code).routes == {"pkg.top = pkg.high.top"}
    assert project.closure(project.needs(ast.parse("from pkg import late"))).routes == {
        "pkg.top = pkg.high.top"
    }
    init = tmp_path / "pkg" / "__init__.py"
    init.write_text(init.read_text().replace("import top", "import bottom as top"))
    assert Project(tmp_path, ("pkg",)).needs(code).routes == {"pkg.top = pkg.high.bottom"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from pkg import low", {"low.py"}),
        ("from pkg.sub import reader", {"reader.py", "reader.css", "page.html"}),
        ("from pkg.sub import thing", {"inner.py", "page.html", "alone.py"}),
    ],
)
def test_data_counts_with_the_modules_that_name_it_and_else_with_the_whole_folder(
    project, code, expected
):
    needs = project.closure(project.needs(ast.parse(code)))
    assert {path.name for path in project.files(needs)} == expected


def test_every_module_is_listed_once_by_its_name(project):
    names = project.modules()
    assert len(names) == len(set(names)) == len([f for f in FILES if f.endswith(".py")]) - 1
    assert {"pkg", "pkg.sub", "pkg.sub.inner", "bare.tool"} <= set(names)
    assert all(project.path(name).is_file() for name in names)


def test_the_code_of_a_notebook_is_read_without_its_magics(project):
    cells = [
        {"cell_type": "markdown", "source": ["import pkg"]},
        {"cell_type": "code", "source": ["%%time\n", "from pkg import low"]},
        {"cell_type": "code", "source": ["if missing:\n", "    %pip install pkg\n", "!ls"]},
        {"cell_type": "code", "source": ["x = 7 % 3"]},
    ]
    code = notebook_code({"cells": cells})
    assert ast.unparse(code.body[-1]) == "x = 7 % 3"
    assert project.needs(code).modules == {"pkg.low"}
