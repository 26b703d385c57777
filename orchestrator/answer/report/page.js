// Moves the lines of the spectra to the epoch that a slider shows. Without it the page shows the last epoch.
for (const section of document.querySelectorAll(".spectra")) {
  const heights = JSON.parse(section.querySelector("script[type='application/json']").textContent);
  const epochs = section.dataset.epochs.split(" ");
  const slider = section.querySelector("input");
  const told = section.querySelector("output");
  const lines = [...section.querySelectorAll("polyline")];
  const older = [...section.querySelectorAll(".as-of")];
  section.querySelector(".slider").hidden = false;
  const show = () => {
    const at = Number(slider.value);
    told.textContent = epochs[at];
    slider.setAttribute("aria-valuetext", `epoch ${epochs[at]}`);
    for (const one of older) {
      const own = one.dataset.epochs.split(" ")[at];
      one.textContent = own === epochs[at] ? "" : own === "None" ? " (none yet)" : ` (as of epoch ${own})`;
    }
    for (const line of lines) {
      const ys = heights[line.dataset.cell][line.dataset.name][at];
      const step = Number(section.dataset.width) / Math.max(1, (ys || []).length - 1);
      line.setAttribute("points", (ys || []).map((y, i) => `${(i * step).toFixed(1)},${y}`).join(" "));
    }
  };
  slider.addEventListener("input", show);
  show();
}
// Paper cannot be opened: what is closed is printed, too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
