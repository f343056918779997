"""Every claim is measured here: its verdict has to come out as it did when it was written down."""

import itertools
import json
import re

import pytest
import torch

import claims
from claims import Finding, Verdict, measuring, registry, show
from claims import page as claims_page
from ssimlab.lab import pitfalls

CLAIMS = claims.all_claims()
COUNTS = {"0": 33, "1": 26, "2": 25, "3": 17, "4": 18}
PLAIN = (bool, int, float, str, type(None))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    assert numbers == [f"{document}.{i}" for i in range(1, count + 1)]


def test_claims_are_short_distinct_and_documented():
    assert len({c.paraphrase for c in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert len(claim.paraphrase.split()) <= 20
        assert claim.measure.__doc__, claim.number


@pytest.mark.parametrize("number", ["0.11", "1.9", "2.12", "3.12"])
def test_a_claim_measures_the_same_twice(number):
    first, second = (claims.get(number).run() for _ in range(2))
    assert str(first) == str(second)


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
    with pytest.raises(KeyError, match=r"no claim '9\.9'; there are 0\.1, 0\.2"):
        claims.get("9.9")


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

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
def links() -> claims_page.Links:
    return claims_page.Links()


@pytest.fixture(scope="module")
def tables(findings, links) -> str:
    """The tables and the filter as one bare page."""
    parts = [claims_page.STYLE, claims_page.controls()]
    for document in claims.DOCUMENTS:
        table = claims_page.table(document, findings, links)
        parts.append(f"<section><h2>{document.title}</h2>{table}</section>")
    head = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    return f"{head}<body>{''.join(parts)}{claims_page.SCRIPT}</body></html>"


def test_the_page_has_a_row_for_every_claim(findings, links):
    text = claims_page.page(findings, links)
    for claim in CLAIMS:
        assert f'id="claim-{claim.number.replace(".", "-")}"' in text
        assert f"Explained in {claim.number} by 1 &lt; 2." in text
    for document in claims.DOCUMENTS:
        assert f"(claims-{document.key})=" in text
        assert f"`{document.key}`" in text
    assert "<is>" not in text
    assert "<trial>" not in text


def test_a_row_links_to_the_lines_of_its_function(links):
    for claim in CLAIMS:
        path, first, last = re.fullmatch(
            rf"{re.escape(links.source)}/(\S+)#L(\d+)-L(\d+)", links.code(claim)
        ).groups()
        lines = (claims_page.ROOT / path).read_text(encoding="utf8").splitlines()
        function = "\n".join(lines[int(first) - 1 : int(last)])
        assert function.startswith("@claim(")
        assert f'"{claim.number}"' in function
        assert f"def {claim.measure.__name__}(" in function


def test_every_concept_has_a_chapter_and_is_used():
    assert set(claims_page.CHAPTERS) == set(claims.CONCEPTS)
    assert {c.concept for c in CLAIMS} == set(claims.CONCEPTS)


def test_a_chapter_is_linked_once_the_book_has_it(links):
    claim = claims.get("1.13")
    page, title = claims_page.CHAPTERS[claim.concept]
    links_without = claims_page.Links()
    links_without.pages = set()
    assert links_without.chapter(claim) == title
    if page in links.pages:
        assert f'<a href="../../{page}.html">' in links.chapter(claim)


def test_findings_are_measured_again_only_when_something_changed(tmp_path, monkeypatch, findings):
    measured = []

    def measure():
        measured.append(1)
        return findings

    monkeypatch.setattr(claims_page, "FINDINGS", tmp_path / "build" / "claims.json")
    monkeypatch.setattr(claims_page, "PAGE", tmp_path / "pages" / "claims.md")
    monkeypatch.setattr(claims_page, "measure", measure)
    surprises = claims_page.write("one state")
    assert claims_page.write("one state") == surprises
    assert len(measured) == 1
    claims_page.write("another state")
    assert len(measured) == 2
    assert "# Claims, tested" in claims_page.PAGE.read_text(encoding="utf8")
    kept = json.loads(claims_page.FINDINGS.read_text(encoding="utf8"))
    assert kept["fingerprint"] == "another state"
    unexpected = [c for c in CLAIMS if findings[c.number].verdict is not c.expected]
    assert len(surprises) == len(unexpected) > 0


def test_the_filter_shows_what_is_asked_for(browser, tables):
    page = browser.new_page()
    page.set_content(tables)
    rows = page.locator(".ssimlab-claims tbody tr:visible")
    told = page.locator("output")
    assert rows.count() == len(CLAIMS)
    assert told.inner_text() == f"{len(CLAIMS)} of {len(CLAIMS)} claims"

    page.select_option("[name=document]", "article-debug-nan")
    assert rows.count() == COUNTS["2"]
    assert page.locator("h2:visible").count() == 1
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


def test_without_javascript_every_claim_is_shown_and_no_filter(browser, tables):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(tables)
    assert page.locator(".ssimlab-claims tbody tr:visible").count() == len(CLAIMS)
    assert page.locator(".ssimlab-claims-filter:visible").count() == 0
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(browser, tables, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(tables)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
