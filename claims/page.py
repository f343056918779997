"""Write the page "Claims, tested" from the claims and what they measure on this machine.

    python -m claims.page

Measuring takes about half a minute, so the findings are kept in _build/claims.json and measured
again when the package or the environment changes. The page itself, book/_generated/claims.md, is
written every time. It is a table for each document, complete without JavaScript; the script at its
end adds filters.
"""

import html
import importlib.metadata
import inspect
import json
import sys
from collections import Counter
from pathlib import Path

import torch
import yaml

import claims
from claims import Claim, Finding, Verdict, show

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "_generated" / "claims.md"
FINDINGS = ROOT / "_build" / "claims.json"
LIBRARIES = ("torch", "torchmetrics", "kornia", "pytorch-msssim")

#: The chapter that tells a concept's story, and its title until it is written.
CHAPTERS = {
    "seeing": ("notebooks/02_from_the_paper_to_code", "From the paper to code"),
    "jacobian": ("notebooks/03_a_gradient_is_not_a_jacobian", "A gradient is not a Jacobian"),
    "gradient": ("notebooks/04_the_gradient_of_ssim_by_hand", "The gradient of SSIM, by hand"),
    "autograd": ("notebooks/05_watching_autograd_work", "Watching autograd work"),
    "floats": ("notebooks/06_numbers_with_edges", "Numbers with edges"),
    "losses": ("notebooks/07_nan_in_everyday_losses", "NaN in everyday losses"),
    "failures": ("notebooks/08_how_ssim_really_fails", "How SSIM really fails"),
    "stable": ("notebooks/10_a_stable_ssim", "A stable SSIM"),
    "protocol": ("notebooks/11_a_protocol_for_nan", "A protocol for NaN"),
    "training": ("notebooks/12_training_with_ssim", "Training with SSIM"),
}

SLUGS = {Verdict.HOLDS: "holds", Verdict.CONDITIONAL: "conditional", Verdict.FALSE: "false"}
WORDS = {Verdict.HOLDS: "holds", Verdict.CONDITIONAL: "holds only if", Verdict.FALSE: "false"}

INTRODUCTION = """\
# Claims, tested

Five documents say why losses become NaN, how the gradient of SSIM is derived, and what helps. Each
claim in them that a computer can test is put here in other words, and a function tests it. It
tries the claim in one or more circumstances: where all of them come out as claimed the claim
holds, where none does it is false, and where they disagree it holds only if something is the case,
which is then said. No verdict is typed. The tests run all {count} functions, and fail if a verdict
is another one than when the claim was written down.

The figures on this page were measured when the book was built, with {versions}. A claim that is
false as stated is often near something true; the explanation says what.

{summary}
"""

CONTROLS = """\
<form class="ssimlab-claims-filter" hidden>
<label>Document <select name="document"><option value="">all</option>{options}</select></label>
<fieldset><legend>Verdict</legend>{boxes}</fieldset>
<label>Containing <input type="search" name="words" autocomplete="off"></label>
<output aria-live="polite"></output>
</form>
"""

STYLE = """\
<style>
.ssimlab-claims-filter:not([hidden]) { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem;
  align-items: center; padding: .8rem 1rem; margin: 1rem 0;
  border: 1px solid var(--pst-color-border, currentColor); border-radius: .5rem; }
.ssimlab-claims-filter fieldset { display: flex; flex-wrap: wrap; gap: .2rem 1rem; border: 0;
  margin: 0; padding: 0; min-width: 0; align-items: center; }
.ssimlab-claims-filter legend { float: left; width: auto; margin: 0; padding: 0;
  font-size: inherit; }
.ssimlab-claims-filter label { margin: 0; max-width: 100%; min-width: 0; }
.ssimlab-claims-filter select, .ssimlab-claims-filter input[type="search"] { max-width: 100%;
  font: inherit; color: inherit; background: var(--pst-color-background, canvas);
  border: 1px solid var(--pst-color-border, currentColor); border-radius: .25rem;
  padding: .15rem .4rem; }
.ssimlab-claims-filter output { flex-basis: 100%; }
.ssimlab-claims table { display: table !important; width: 100%; border-collapse: collapse;
  font-size: .9rem; }
.ssimlab-claims tr[hidden] { display: none !important; }
.ssimlab-claims th, .ssimlab-claims td { padding: .6rem .7rem .6rem 0; vertical-align: top;
  text-align: left; border-bottom: 1px solid var(--pst-color-border, currentColor); }
.ssimlab-claims th[scope="row"] { font-variant-numeric: tabular-nums; }
.ssimlab-claims td { overflow-wrap: anywhere; }
.ssimlab-claims th:first-child { width: 3rem; }
.ssimlab-claims .claim { width: 38%; }
.ssimlab-claims p { margin: 0 0 .4rem; }
.ssimlab-claims .story { margin: .4rem 0 0; }
.ssimlab-claims .verdict strong::before { content: ""; display: inline-block; width: .7em;
  height: .7em; margin-right: .4em; border-radius: 50%; background: var(--ssimlab-verdict); }
.ssimlab-claims tr[data-verdict="holds"] { --ssimlab-verdict: #2a9d6f; }
.ssimlab-claims tr[data-verdict="conditional"] { --ssimlab-verdict: #d08a1d; }
.ssimlab-claims tr[data-verdict="false"] { --ssimlab-verdict: #d1495b; }
.ssimlab-claims tr[data-verdict="conditional"] .verdict strong::before { border-radius: 0; }
.ssimlab-claims tr[data-verdict="false"] .verdict strong::before { border-radius: 0;
  transform: rotate(45deg) scale(.8); }
.ssimlab-claims tr:target { background: var(--pst-color-target, transparent); }
.ssimlab-claims details { margin-top: .4rem; }
.ssimlab-claims details ul { margin: .3rem 0 .6rem; padding-left: 1.2rem; max-width: none; }
@media (max-width: 800px) {
  .ssimlab-claims table, .ssimlab-claims tbody { display: block !important; }
  .ssimlab-claims thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .ssimlab-claims tr { display: block; padding: .7rem .9rem; margin: 0 0 1rem;
    border: 1px solid var(--pst-color-border, currentColor); border-radius: .5rem; }
  .ssimlab-claims th, .ssimlab-claims td { display: block; width: auto !important; border: 0;
    padding: .2rem 0; }
}
</style>
"""

SCRIPT = """\
<script>
(() => {
  const form = document.querySelector(".ssimlab-claims-filter");
  const tables = [...document.querySelectorAll(".ssimlab-claims")];
  const rows = tables.flatMap((table) => [...table.querySelectorAll("tbody tr")]);
  const filter = () => {
    const verdicts = [...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value);
    const words = form.elements.words.value.toLowerCase().split(/\\s+/);
    const wanted = form.elements.document.value;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(
        (!wanted || row.dataset.document === wanted) &&
        verdicts.includes(row.dataset.verdict) &&
        words.every((word) => text.includes(word))
      );
    }
    for (const table of tables) {
      const section = table.closest("section") || table;
      section.hidden = !table.querySelector("tbody tr:not([hidden])");
    }
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${rows.length} claims`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
</script>
"""


class Links:
    """Where a row's links lead: the repository of _config.yml, and the chapters of _toc.yml."""

    def __init__(self, root: Path = ROOT):
        repository = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))["repository"]
        self.source = f"{repository['url'].rstrip('/')}/blob/{repository['branch']}"
        toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))
        self.pages = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
        self.root = root

    def code(self, claim: Claim) -> str:
        """The lines of the claim's function in the repository."""
        lines, first = inspect.getsourcelines(claim.measure)
        path = Path(inspect.getsourcefile(claim.measure)).resolve()
        inside = Path("ssimlab", "claims", path.name).as_posix()
        return f"{self.source}/{inside}#L{first}-L{first + len(lines) - 1}"

    def chapter(self, claim: Claim) -> str:
        """The chapter's title, as a link if the chapter is in the book."""
        page, title = CHAPTERS[claim.concept]
        if page not in self.pages:
            return html.escape(title)
        notebook = json.loads((self.root / f"{page}.ipynb").read_text(encoding="utf8"))
        head = "".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] != "code")
        title = next((line[2:] for line in head.splitlines() if line.startswith("# ")), title)
        return f'<a href="../../{page}.html">{html.escape(title.strip())}</a>'


def measure() -> dict[str, Finding]:
    """Run every claim; print one line for each document."""
    findings = {}
    for document in claims.DOCUMENTS:
        of_document = [c for c in claims.all_claims() if c.document is document]
        print(f"Measuring {len(of_document)} claims: {document.title}", flush=True)
        findings |= {claim.number: claim.run() for claim in of_document}
    return findings


def findings_for(fingerprint: str) -> dict[str, Finding]:
    """The findings of this state of package and environment, measured if they are not at hand."""
    if FINDINGS.exists():
        kept = json.loads(FINDINGS.read_text(encoding="utf8"))
        if kept["fingerprint"] == fingerprint:
            return {number: Finding(**fields) for number, fields in kept["findings"].items()}
    findings = measure()
    fields = {number: vars(finding) for number, finding in findings.items()}
    FINDINGS.parent.mkdir(exist_ok=True)
    kept = {"fingerprint": fingerprint, "findings": fields}
    FINDINGS.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf8")
    return findings


def row(claim: Claim, finding: Finding, links: Links) -> str:
    """One claim as a row of its document's table."""
    verdict = f"<strong>{WORDS[finding.verdict]}</strong>"
    if finding.verdict is Verdict.CONDITIONAL:
        verdict += f" {html.escape(finding.condition)}"
    trials = "".join(
        f"<li>{html.escape(name)}: {'as claimed' if came else 'not as claimed'}</li>"
        for name, came in finding.trials.items()
    )
    figures = "".join(
        f"<li>{html.escape(name)}: {html.escape(show(value))}</li>"
        for name, value in finding.figures.items()
    )
    number = claim.number
    return (
        f'<tr id="claim-{number.replace(".", "-")}" data-document="{claim.document.key}" '
        f'data-verdict="{SLUGS[finding.verdict]}">\n'
        f'<th scope="row">{number}</th>\n'
        f'<td class="claim"><p>{html.escape(claim.paraphrase)}</p>'
        f'<p class="verdict">{verdict}</p></td>\n'
        f"<td><p>{html.escape(finding.explanation)}</p>\n"
        f'<details><summary aria-label="Trials and figures of claim {number}">Trials and figures'
        f"</summary><ul>{trials}</ul><ul>{figures}</ul></details>\n"
        f'<p class="story">Told in <cite>{links.chapter(claim)}</cite> · '
        f'<a href="{links.code(claim)}" aria-label="Code of claim {number}">code</a></p></td>\n'
        "</tr>\n"
    )


def table(document, findings: dict[str, Finding], links: Links) -> str:
    """All claims of one document as a table."""
    rows = "".join(
        row(claim, findings[claim.number], links)
        for claim in claims.all_claims()
        if claim.document is document
    )
    heads = ("No.", "Claim and verdict", "What was measured, and where its story is told")
    return (
        '<div class="ssimlab-claims"><table>\n<thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + f"</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def summary(findings: dict[str, Finding]) -> str:
    """How many claims of each document hold, hold conditionally, and are false."""
    lines = ["| Document | holds | holds only if | false |", "|---|---|---|---|"]
    for document in claims.DOCUMENTS:
        count = Counter(
            findings[c.number].verdict for c in claims.all_claims() if c.document is document
        )
        numbers = " | ".join(str(count[verdict]) for verdict in Verdict)
        lines.append(f"| [{document.title}](claims-{document.key}) | {numbers} |")
    return "\n".join(lines)


def controls() -> str:
    options = "".join(
        f'<option value="{d.key}">{html.escape(d.title)}</option>' for d in claims.DOCUMENTS
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="verdict" value="{SLUGS[verdict]}" checked> '
        f"{WORDS[verdict]}</label>"
        for verdict in Verdict
    )
    return CONTROLS.format(options=options, boxes=boxes)


def raw(text: str) -> str:
    return f"````{{raw}} html\n{text}````\n"


def page(findings: dict[str, Finding], links: Links) -> str:
    """The whole page in MyST Markdown."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    parts = [
        INTRODUCTION.format(count=len(findings), versions=versions, summary=summary(findings)),
        raw(STYLE + controls()),
    ]
    for document in claims.DOCUMENTS:
        numbers = [c.number for c in claims.all_claims() if c.document is document]
        parts.append(f"(claims-{document.key})=\n## {document.title}\n")
        parts.append(
            f"Claims {numbers[0]} to {numbers[-1]}, of the {document.kind} "
            f"{{cite:p}}`{document.key}`.\n"
        )
        parts.append(raw(table(document, findings, links)))
    parts.append(raw(SCRIPT))
    return "\n".join(parts)


def write(fingerprint: str) -> list[str]:
    """Write the page for this state of package and environment.

    Returns one line for each claim whose verdict is not the expected one.
    """
    torch.set_num_threads(1)  # so that sums are added up in the same order on every machine
    findings = findings_for(fingerprint)
    text = page(findings, Links())
    PAGE.parent.mkdir(exist_ok=True)
    if not PAGE.exists() or PAGE.read_text(encoding="utf8") != text:
        PAGE.write_text(text, encoding="utf8")
    return [
        f"claim {claim.number}: {claim.expected.name} was expected, {came.name} came out"
        for claim in claims.all_claims()
        if (came := findings[claim.number].verdict) is not claim.expected
    ]


def main() -> None:
    from tools.build_book import what_outputs_depend_on

    surprises = write(what_outputs_depend_on())
    print(f"Written: {PAGE.relative_to(ROOT)}")
    if surprises:
        sys.exit("\n".join(["Verdicts have changed:", *surprises]))


if __name__ == "__main__":
    main()
