"""Every claim is measured here: its verdict has to come out as it did when it was written down."""

import ast
import inspect
import itertools
import re

import pytest
import torch
from bs4 import BeautifulSoup

import claims
from claims import Finding, Verdict, measuring, registry, show
from claims import page as claims_page
from claims.__main__ import main
from ssimlab.lab import pitfalls

CLAIMS = claims.all_claims()
COUNTS = {"0": 33, "1": 26, "2": 25, "3": 17, "4": 18}
PLAIN = (bool, int, float, str, type(None))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.number)
def test_the_verdict_comes_out_as_expected(claim):
    finding = claim.run()
    assert finding.verdict is claim.expected, str(finding)
    assert finding.explanation.rstrip().endswith(".")
    assert bool(finding.condition) == (finding.verdict is Verdict.CONDITIONAL)
    for value in finding.figures.values():
        entries = value if isinstance(value, list) else [value]
        assert all(isinstance(entry, PLAIN) for entry in entries), "a figure is a plain number"


@pytest.mark.parametrize(("document", "count"), COUNTS.items())
def test_every_number_of_a_document_is_there(document, count):
    numbers = [c.number for c in CLAIMS if c.number.split(".")[0] == document]
    expected = [f"{document}.{i}" for i in range(1, count + 1)]
    assert numbers == expected, "is COUNTS, at the top of this file, out of date?"


def test_claims_are_short_distinct_and_documented():
    assert len({c.paraphrase for c in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert len(claim.paraphrase.split()) <= 20
        assert claim.measure.__doc__, f"claim {claim.number} needs a docstring: what it measures"


@pytest.mark.parametrize("number", ["0.11", "1.9", "2.12", "3.12"])
def test_a_claim_measures_the_same_twice(number):
    first, second = (claims.get(number).run() for _ in range(2))
    assert str(first) == str(second)


def test_a_claim_runs_in_one_thread_and_gives_the_others_back(monkeypatch):
    threads = torch.get_num_threads() + 1
    torch.set_num_threads(threads)
    finding = Finding({"one thread": True}, {"threads": 1}, "It is so.")
    within = []
    claim = registry.Claim(
        *("9.1", claims.DOCUMENTS[0], "A claim.", "cause", "floats", Verdict.HOLDS),
        measure=lambda: within.append(torch.get_num_threads()) or finding,
    )
    try:
        assert claim.run() is finding
        assert within == [1]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads - 1)


def test_no_claim_calls_another():
    """A claim is measured again where its own function changes, and not where another one does."""
    for module in {inspect.getmodule(claim.measure) for claim in CLAIMS}:
        functions = {claim.measure.__name__ for claim in CLAIMS}
        tree = ast.parse(inspect.getsource(module))
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not functions & {name.id for name in calls if isinstance(name, ast.Name)}


def test_a_verdict_changes_when_the_measurement_does(monkeypatch):
    claim = claims.get("3.1")
    assert claim.run().verdict is Verdict.FALSE
    monkeypatch.setattr(pitfalls, "naive_ratio", lambda n, d: n * torch.nan)
    assert claim.run().verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("trials", "verdict"),
    [
        ((True, True), Verdict.HOLDS),
        ((True, False), Verdict.CONDITIONAL),
        ((False, False), Verdict.FALSE),
    ],
)
def test_the_verdict_follows_from_the_trials(trials, verdict):
    named = {f"trial {i}": came for i, came in enumerate(trials)}
    finding = Finding(named, {"x": 1.0}, "Because.", condition="it is so")
    assert finding.verdict is verdict
    assert str(finding).startswith(verdict.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {"x": 1.0}, "Because."), "at least one trial"),
        (({"a": torch.tensor(True)}, {"x": 1.0}, "Because."), "each True or False"),
        (({"a": True}, {}, "Because."), "needs the figures"),
        (({"a": True, "b": False}, {"x": 1.0}, "Because."), "say what the claim depends on"),
    ],
)
def test_an_unfounded_finding_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Finding(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": "0.1"}, "not a free number"),
        ({"number": "1.99"}, "not a free number"),
        ({"kind": "rumor"}, "unknown kind"),
        ({"concept": "magic"}, "unknown kind 'cause' or concept 'magic'"),
        ({"paraphrase": "word " * 21}, "more than 20 words"),
    ],
)
def test_a_badly_registered_claim_is_refused(change, message):
    given = {"number": "0.99", "paraphrase": "A claim.", "kind": "cause", "concept": "floats"}
    given |= change
    claim = registry.claims_of("article-ssim-nan")
    register = claim(
        given["number"],
        given["paraphrase"],
        kind=given["kind"],
        concept=given["concept"],
        expected=Verdict.HOLDS,
    )
    with pytest.raises(ValueError, match=message):
        register(lambda: None)
    assert claims.all_claims() == CLAIMS


def test_an_unknown_number_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match=r"no claim '9\.9': they run from 0\.1 to 4\.18"):
        claims.get("9.9")


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(measuring.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"torchmetrics.*ssimlab\[peers\]"):
        claims.get("0.6").run()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00023372, "0.000234"),
        (1.5e-9, "1.5e-9"),
        (3e38, "3e38"),
        (121.82, "122"),
        (1001.3, "1,001"),
        (0.0, "0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (17_179_869_184, "17,179,869,184"),
        (True, "True"),
        (None, "None"),
        ([121.84, float("inf")], "[121.8, inf]"),
    ],
)
def test_figures_are_shown_with_three_digits(value, text):
    assert show(value) == text


# ------------------------------------------------------------------------------------------------
# The command


def test_the_command_prints_all_that_was_found_of_the_claims_it_is_given(capsys):
    assert main(["2.2", "0.1"]) == 0
    chosen = [claims.get(number) for number in ("2.2", "0.1")]
    expected = [f"{claim.number}  {claim.paraphrase}\n{claim.run()}\n\n" for claim in chosen]
    assert capsys.readouterr().out == "".join(expected)


def test_the_command_prints_a_line_for_every_claim_and_fails_where_one_surprises(
    capsys, monkeypatch, findings
):
    monkeypatch.setattr(registry.Claim, "run", lambda claim: findings[claim.number])
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    for place, claim in enumerate(CLAIMS, start=1):
        told = lines[place - 1]
        assert told.startswith(f"[{place:>3}/{len(CLAIMS)}] {claim.number} ")
        assert findings[claim.number].verdict.value in told
        assert told.endswith(claim.paraphrase)
    unexpected = [c for c in CLAIMS if findings[c.number].verdict is not c.expected]
    assert 0 < len(unexpected) < len(CLAIMS)
    assert len(lines) == len(CLAIMS) + 1 + len(unexpected)


def test_the_command_answers_an_unknown_number_with_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["9.9"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "there is no claim '9.9': they run from 0.1 to 4.18\n"


# ------------------------------------------------------------------------------------------------
# The page


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    """A finding for each claim, of each verdict in turn, with text that HTML has to escape."""
    patterns = itertools.cycle([(True, True), (True, False), (False, False)])
    return {
        claim.number: Finding(
            {"first <trial>": first, "second": second},
            {"a & b": 1.5},
            f"Explained in {claim.number} by 1 < 2.",
            condition="this <is> so",
        )
        for claim, (first, second) in zip(CLAIMS, patterns, strict=False)
    }


@pytest.fixture(scope="module")
def text(findings) -> str:
    return claims_page.render(findings)


@pytest.fixture(scope="module")
def bare(text) -> str:
    """The page without the book around it: its headings, and what it hands to HTML as it is."""
    sections = []
    for section in text.split("\n## "):
        heading, _, rest = section.partition("\n")
        blocks = "".join(
            re.findall(r"^````\{raw\} html\n(.*?)^````$", rest, re.DOTALL | re.MULTILINE)
        )
        sections.append(f"<section><h2>{heading}</h2>{blocks}</section>")
    head = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    return f"{head}<body>{''.join(sections)}</body></html>"


def test_the_page_has_a_row_for_every_claim(text, bare, findings):
    rows = {row["id"]: row for row in BeautifulSoup(bare, "html.parser").select("tbody tr")}
    assert list(rows) == [f"claim-{claim.number.replace('.', '-')}" for claim in CLAIMS]
    for claim, row in zip(CLAIMS, rows.values(), strict=True):
        words = " ".join(row.get_text().split())
        verdict = findings[claim.number].verdict
        condition = "this <is> so" if verdict is Verdict.CONDITIONAL else ""
        assert words.startswith(f"{claim.number} {claim.paraphrase} {verdict.value} {condition}")
        for told in (f"Explained in {claim.number} by 1 < 2.", "first <trial>: ", "a & b: 1.5"):
            assert told in words
    for document in claims.DOCUMENTS:
        assert f"(claims-{document.key})=" in text
        assert f"`{document.key}`" in text


def test_the_summary_counts_the_verdicts_of_each_document(text, findings):
    for document in claims.DOCUMENTS:
        came = [findings[c.number].verdict for c in CLAIMS if c.document is document]
        counts = " | ".join(str(came.count(verdict)) for verdict in Verdict)
        assert f"| [{document.title}](claims-{document.key}) | {counts} |\n" in text


def test_what_a_claim_says_is_never_taken_for_html(text):
    assert "<is>" not in text
    assert "<trial>" not in text


def test_a_row_links_to_the_lines_of_its_function(text):
    for claim in CLAIMS:
        link = claims_page.code(claim)
        assert f'<a href="{link}"' in text
        path, first, last = re.fullmatch(
            rf"{re.escape(claims_page.repository())}/(\S+)#L(\d+)-L(\d+)", link
        ).groups()
        lines = (claims_page.ROOT / path).read_text(encoding="utf8").splitlines()
        function = "\n".join(lines[int(first) - 1 : int(last)])
        assert function.startswith("@claim(")
        assert f'"{claim.number}"' in function
        assert f"def {claim.measure.__name__}(" in function


def test_every_concept_has_a_chapter_and_is_used():
    assert set(claims_page.CHAPTERS) == set(claims.CONCEPTS)
    assert {c.concept for c in CLAIMS} == set(claims.CONCEPTS)


def test_a_row_links_to_the_chapter_that_tells_its_story(bare):
    for claim in CLAIMS:
        chapter = claims_page.CHAPTERS[claim.concept]
        assert (claims_page.ROOT / f"{chapter}.ipynb").exists()
        link = f'<a href="../../{chapter}.html">{claims_page.title(chapter)}</a>'
        row = bare.partition(f'id="claim-{claim.number.replace(".", "-")}"')[2]
        assert link in row.partition("</tr>")[0]
    assert claims_page.title(claims_page.CHAPTERS["stable"]) == "A stable SSIM"


def test_the_page_is_written_only_where_it_changes(tmp_path, findings):
    path = tmp_path / "pages" / "claims.md"
    claims_page.write(findings, path)
    written = path.stat().st_mtime_ns
    claims_page.write(findings, path)
    assert path.stat().st_mtime_ns == written
    other = Finding({"a": True}, {"b": 1}, "Another explanation.")
    claims_page.write(findings | {"0.1": other}, path)
    assert "Another explanation." in path.read_text(encoding="utf8")


def test_the_filter_shows_what_is_asked_for(browser, bare):
    page = browser.new_page()
    page.set_content(bare)
    rows = page.locator(".ssimlab-claims tbody tr:visible")
    told = page.locator("output")
    assert rows.count() == len(CLAIMS)
    assert told.inner_text() == f"{len(CLAIMS)} of {len(CLAIMS)} claims"

    page.select_option("[name=document]", "article-debug-nan")
    assert rows.count() == COUNTS["2"]
    assert page.locator("section:has(table) h2:visible").count() == 1
    page.uncheck("[value=holds]")
    page.uncheck("[value=conditional]")
    remaining = rows.count()
    assert 0 < remaining < COUNTS["2"]
    assert set(rows.evaluate_all("rows => rows.map(r => r.dataset.verdict)")) == {"false"}

    page.select_option("[name=document]", "")
    for verdict in ("holds", "conditional"):
        page.check(f"[value={verdict}]")
    page.fill("[name=words]", "SIGNATURE")
    assert rows.count() == 1
    assert rows.get_attribute("id") == "claim-4-7"
    page.close()


def test_without_javascript_every_claim_is_shown_and_no_filter(browser, bare):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(bare)
    assert page.locator(".ssimlab-claims tbody tr:visible").count() == len(CLAIMS)
    assert page.locator(".ssimlab-claims-filter:visible").count() == 0
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(browser, bare, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(bare)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
