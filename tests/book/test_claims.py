"""Every claim is measured here: its verdict has to come out as it did when it was written down."""

import ast
import inspect
import itertools
import re

import pytest
import torch
from bs4 import BeautifulSoup

import claims
from claims import Finding, Says, Verdict, measuring, registry, show
from claims import page as claims_page
from claims.__main__ import main
from ssimlab.lab import pitfalls

CLAIMS = claims.all_claims()
COUNTS = {"0": 39, "1": 34, "2": 34, "3": 28, "4": 21}
LAST = CLAIMS[-1].number
PLAIN = (bool, int, float, str, type(None))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.number)
def test_the_verdict_comes_out_as_expected(claim):
    finding = claim.run()
    assert claim.verdict(finding) is claim.expected, claim.told(finding)
    assert finding.explanation.endswith(".")
    assert not finding.condition.endswith(".")
    if claim.says is Says.IS:
        assert bool(finding.condition) == (claim.expected is Verdict.CONDITIONAL)
    for value in finding.figures.values():
        entries = value if isinstance(value, list) else [value]
        assert all(isinstance(entry, PLAIN) for entry in entries), "a figure is a plain number"


@pytest.mark.parametrize(("document", "count"), COUNTS.items())
def test_every_number_of_a_document_is_there(document, count):
    numbers = [c.number for c in CLAIMS if c.number.split(".")[0] == document]
    expected = [f"{document}.{i}" for i in range(1, count + 1)]
    assert numbers == expected, "is COUNTS, at the top of this file, out of date?"


def test_claims_are_distinct_and_say_where_they_stand_how_they_were_read_and_what_was_tried():
    assert len({c.paraphrase for c in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        for told in (claim.paraphrase, claim.reading, claim.measure.__doc__):
            assert told, f"claim {claim.number} lacks a paraphrase, a reading or a docstring"
            assert told.strip().endswith((".", "?"))
        assert claim.place


@pytest.mark.parametrize("number", ["0.11", "1.9", "2.12", "3.12"])
def test_a_claim_measures_the_same_twice(number):
    claim = claims.get(number)
    assert claim.told(claim.run()) == claim.told(claim.run())


def claim_of(measure, says=Says.IS):
    """A claim that is not registered."""
    return registry.Claim(
        number="9.1",
        document=claims.DOCUMENTS[0],
        place="Paragraph 1",
        paraphrase="A claim.",
        says=says,
        reading="As it stands.",
        concept="floats",
        expected=Verdict.HOLDS,
        measure=measure,
    )


def test_a_claim_runs_in_one_thread_and_gives_the_others_back(monkeypatch):
    threads = torch.get_num_threads() + 1
    torch.set_num_threads(threads)
    finding = Finding({"one thread": True}, {"threads": 1}, "It is so.")
    within = []
    claim = claim_of(lambda: within.append(torch.get_num_threads()) or finding)
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
    claim = next(c for c in CLAIMS if c.measure.__name__ == "ratio_is_nan")
    assert claim.verdict(claim.run()) is Verdict.FALSE
    monkeypatch.setattr(pitfalls, "naive_ratio", lambda n, d: n * torch.nan)
    assert claim.verdict(claim.run()) is not Verdict.FALSE


@pytest.mark.parametrize(
    ("says", "trials", "verdict"),
    [
        (Says.IS, (True, True), Verdict.HOLDS),
        (Says.IS, (True, False), Verdict.CONDITIONAL),
        (Says.IS, (False, False), Verdict.FALSE),
        (Says.CAN, (True, True), Verdict.HOLDS),
        (Says.CAN, (True, False), Verdict.HOLDS),
        (Says.CAN, (False, False), Verdict.UNSEEN),
    ],
)
def test_the_verdict_follows_from_the_trials_and_from_how_the_claim_is_put(says, trials, verdict):
    named = {f"trial {i}": came for i, came in enumerate(trials)}
    finding = Finding(named, {"x": 1.0}, "Because.", right="That.", condition="it is so")
    claim = claim_of(lambda: finding, says)
    assert claim.verdict(claim.run()) is verdict
    assert verdict.value in claim.told(finding)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {"x": 1.0}, "Because."), "at least one trial"),
        (({"a": torch.tensor(True)}, {"x": 1.0}, "Because."), "each True or False"),
        (({"a": True}, {}, "Because."), "needs the figures"),
    ],
)
def test_an_unfounded_finding_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Finding(*arguments)


@pytest.mark.parametrize(
    ("finding", "message"),
    [
        (
            Finding({"a": True, "b": False}, {"x": 1.0}, "So.", right="That."),
            "say what it depends on",
        ),
        (Finding({"a": False}, {"x": 1.0}, "So."), "say what is right in it"),
    ],
)
def test_a_finding_that_leaves_its_verdict_bare_is_refused(finding, message):
    with pytest.raises(ValueError, match=message):
        claim_of(lambda: finding).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": "0.1"}, "not a free number"),
        ({"number": "1.99"}, "not a free number"),
        ({"concept": "magic"}, "unknown concept 'magic'"),
        ({"paraphrase": "word " * 26}, "more than 25 words"),
    ],
)
def test_a_badly_registered_claim_is_refused(change, message):
    given = {
        "number": "0.99",
        "paraphrase": "A claim.",
        "place": "Paragraph 1",
        "says": Says.IS,
        "reading": "As it stands.",
        "concept": "floats",
        "expected": Verdict.HOLDS,
    }
    register = registry.claims_of("article-ssim-nan")(**given | change)
    with pytest.raises(ValueError, match=message):
        register(lambda: None)
    assert claims.all_claims() == CLAIMS


def test_an_unknown_number_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match=rf"no claim '9\.9': they run from 0\.1 to {LAST}"):
        claims.get("9.9")


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(measuring.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"torchmetrics.*ssimlab\[peers\]"):
        claims.get("0.20").run()


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
    expected = [f"{claim.told(claim.run())}\n\n" for claim in chosen]
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
        assert claim.verdict(findings[claim.number]).value in told
        assert told.endswith(claim.paraphrase)
    unexpected = [c for c in CLAIMS if c.verdict(findings[c.number]) is not c.expected]
    assert 0 < len(unexpected) < len(CLAIMS)
    assert len(lines) == len(CLAIMS) + 1 + len(unexpected)


def test_the_command_answers_an_unknown_number_with_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["9.9"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"there is no claim '9.9': they run from 0.1 to {LAST}\n"


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
            right="a > b",
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


def test_the_page_has_a_line_for_every_claim_with_all_that_was_found_behind_it(
    text, bare, findings
):
    lines = {line["id"]: line for line in BeautifulSoup(bare, "html.parser").select("details")}
    assert list(lines) == [f"claim-{claim.number.replace('.', '-')}" for claim in CLAIMS]
    for claim, line in zip(CLAIMS, lines.values(), strict=True):
        words = " ".join(line.get_text().split())
        verdict = claim.verdict(findings[claim.number]).value
        summary = " ".join(line.summary.get_text().split())
        assert summary == f"{claim.number} {claim.paraphrase} {verdict}"
        found = (f"Explained in {claim.number} by 1 < 2.", "first <trial>", "this <is> so", "a & b")
        for told in (*found, claim.place, claim.reading, claims_page.varied(claim)):
            assert " ".join(told.split()) in words
    for document in claims.DOCUMENTS:
        assert f"(claims-{document.key})=" in text
        assert f"`{document.key}`" in text


def test_the_summary_counts_the_verdicts_of_each_document(text, findings):
    for document in claims.DOCUMENTS:
        came = [c.verdict(findings[c.number]) for c in CLAIMS if c.document is document]
        counts = " | ".join(str(came.count(verdict)) for verdict in Verdict)
        assert f"| [{document.title}](claims-{document.key}) | {counts} |\n" in text


def test_what_a_claim_says_is_never_taken_for_html(text):
    assert "<is>" not in text
    assert "<trial>" not in text


def test_a_line_links_to_the_lines_of_its_function(text):
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


def test_a_line_links_to_the_chapter_that_tells_its_story(bare):
    for claim in CLAIMS:
        chapter = claims_page.CHAPTERS[claim.concept]
        assert (claims_page.ROOT / f"{chapter}.ipynb").exists()
        link = f'<a href="../../{chapter}.html">{claims_page.title(chapter)}</a>'
        line = bare.partition(f'id="claim-{claim.number.replace(".", "-")}"')[2]
        assert link in line.partition("</details>")[0]
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
    lines = page.locator(".ssimlab-claims details:visible")
    told = page.locator("output")
    assert lines.count() == len(CLAIMS)
    assert told.inner_text() == f"{len(CLAIMS)} of {len(CLAIMS)} claims"

    page.select_option("[name=document]", "article-debug-nan")
    assert lines.count() == COUNTS["2"]
    assert page.locator("section:has(details) h2:visible").count() == 1
    for verdict in ("holds", "conditional", "unseen"):
        page.uncheck(f"[value={verdict}]")
    remaining = lines.count()
    assert 0 < remaining < COUNTS["2"]
    assert set(lines.evaluate_all("lines => lines.map(l => l.dataset.verdict)")) == {"false"}

    page.select_option("[name=document]", "")
    for verdict in ("holds", "conditional", "unseen"):
        page.check(f"[value={verdict}]")
    page.fill("[name=words]", CLAIMS[-1].paraphrase.upper())
    assert lines.count() == 1
    assert lines.get_attribute("id") == f"claim-{LAST.replace('.', '-')}"
    page.close()


def test_a_link_to_a_claim_opens_it(browser, bare, tmp_path):
    path = tmp_path / "claims.html"
    path.write_text(bare, encoding="utf8")
    page = browser.new_page()
    page.goto(f"{path.as_uri()}#claim-2-2")
    assert page.locator("details[open]").get_attribute("id") == "claim-2-2"
    page.evaluate("location.hash = '#claim-0-1'")
    page.wait_for_selector("#claim-0-1[open]")
    page.close()


def test_without_javascript_every_claim_can_be_opened_and_there_is_no_filter(browser, bare):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(bare)
    assert page.locator(".ssimlab-claims summary:visible").count() == len(CLAIMS)
    page.locator("#claim-0-1 summary").click()
    assert page.locator("#claim-0-1 dl:visible").count() == 1
    assert page.locator(".ssimlab-claims-filter:visible").count() == 0
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(browser, bare, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(bare)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
