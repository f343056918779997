(() => {
  const form = document.querySelector(".ssimlab-claims-filter");
  const tables = [...document.querySelectorAll(".ssimlab-claims")];
  const rows = tables.flatMap((table) => [...table.querySelectorAll("tbody tr")]);
  const filter = () => {
    const verdicts = [...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value);
    const words = form.elements.words.value.toLowerCase().split(/\s+/);
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
