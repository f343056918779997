((script) => {
  // The same HTML may stand twice on a page (a notebook's second view): look near the script first.
  const root = (script && script.closest(".ssimlab-explorer")) || document.getElementById("$id");
  if (!root) return;
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const picture = root.querySelector("img");
  const readout = root.querySelector("output");
  const controls = [...root.querySelectorAll("input, select")];
  const buttons = [...root.querySelectorAll("button")];
  const slow = matchMedia("(prefers-reduced-motion: reduce)");

  const show = () => {
    let state = 0;
    controls.forEach((control, axis) => {
      const index = Number(control.value);
      const texts = data.axes[axis].texts;
      state = state * texts.length + index;
      if (control.type === "range") {
        control.setAttribute("aria-valuetext", texts[index]);
        control.nextElementSibling.textContent = texts[index];
      }
    });
    const [frame, alt, text] = data.states[state];
    if (picture.getAttribute("src") !== data.frames[frame]) picture.src = data.frames[frame];
    picture.alt = alt;
    if (readout && readout.textContent !== text) readout.textContent = text;
  };

  let timer = null;
  let playing = -1;
  const mark = (axis, verb) => {
    buttons[axis].setAttribute("aria-label", verb + " " + data.axes[axis].label);
    buttons[axis].toggleAttribute("data-playing", verb === "Pause");
    // A screen reader is not to read every frame aloud while the frames run.
    if (readout) readout.setAttribute("aria-live", verb === "Pause" ? "off" : "polite");
  };
  const pause = () => {
    clearInterval(timer);
    if (playing >= 0) mark(playing, "Play");
    playing = -1;
  };
  const play = (axis) => {
    playing = axis;
    mark(axis, "Pause");
    timer = setInterval(() => {
      if (!root.isConnected) return pause();
      controls[axis].value = (Number(controls[axis].value) + 1) % data.axes[axis].texts.length;
      show();
    }, slow.matches ? 1600 : 800);
  };

  controls.forEach((control, axis) => {
    control.addEventListener("input", () => {
      if (playing === axis) pause();
      show();
    });
  });
  buttons.forEach((button, axis) => {
    button.addEventListener("click", () => {
      const again = playing === axis;
      pause();
      if (!again) play(axis);
    });
  });
  root.querySelector("fieldset").disabled = false;
  show();
})(document.currentScript);
