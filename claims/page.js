(() => {
  const form = document.querySelector(".ssimlab-claims-filter");
  const lists = [...document.querySelectorAll(".ssimlab-claims")];
  const lines = lists.flatMap((list) => [...list.children]);
  const filter = () => {
    const verdicts = [...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value);
    const words = form.elements.words.value.toLowerCase().split(/\s+/);
    const wanted = form.elements.document.value;
    for (const line of lines) {
      const text = line.textContent.toLowerCase();
      line.hidden = !(
        (!wanted || line.dataset.document === wanted) &&
        verdicts.includes(line.dataset.verdict) &&
        words.every((word) => text.includes(word))
      );
    }
    for (const list of lists) {
      const section = list.closest("section") || list;
      section.hidden = !list.querySelector("details:not([hidden])");
    }
    const shown = lines.filter((line) => !line.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${lines.length} claims`;
  };
  // A link to a claim opens it.
  const openTarget = () => {
    const line = lines.find((line) => `#${line.id}` === location.hash);
    if (line) {
      line.open = true;
      line.scrollIntoView();
    }
  };
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = lines.filter((line) => !line.open);
    for (const line of closed) line.open = true;
  });
  addEventListener("afterprint", () => {
    for (const line of closed) line.open = false;
  });
  addEventListener("hashchange", openTarget);
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
  openTarget();
})();
