// Folds and filters the population tree. Rows stand in depth-first order, so that whatever is deeper than a folded
// row and follows it lies below it. Without this script all rows are shown.
(() => {
  const table = document.getElementById("tree");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const depth = rows.map((row) => Number(row.dataset.depth));
  const buttons = rows.map((row) => row.querySelector("button"));
  const onPath = rows.map((row) => row.classList.contains("path"));
  const open = rows.map((_, index) => !("folded" in table.dataset) || onPath[index]);
  const filter = document.getElementById("filter");
  const paint = () => {
    const wanted = filter.value.trim().toLowerCase();
    let below = Infinity;
    rows.forEach((row, index) => {
      if (depth[index] <= below) below = Infinity;
      const folded = depth[index] > below;
      row.hidden = wanted ? !row.textContent.toLowerCase().includes(wanted) : folded;
      if (!folded && !open[index]) below = depth[index];
      if (buttons[index]) buttons[index].setAttribute("aria-expanded", String(open[index]));
    });
  };
  const all = (choose) => () => {
    rows.forEach((_, index) => { open[index] = choose(index); });
    filter.value = "";
    paint();
  };
  table.addEventListener("click", (event) => {
    const index = buttons.indexOf(event.target.closest("button"));
    if (index < 0) return;
    open[index] = !open[index];
    paint();
  });
  filter.addEventListener("input", paint);
  document.getElementById("unfold").addEventListener("click", all(() => true));
  document.getElementById("fold").addEventListener("click", all(() => false));
  document.getElementById("best-path").addEventListener("click", all((index) => onPath[index]));
  document.getElementById("controls").hidden = false;
  // A link to a node unfolds what it lies below.
  const reveal = () => {
    const target = rows.findIndex((row) => `#${row.id}` === location.hash);
    if (target < 0) return;
    let level = depth[target];
    for (let index = target - 1; index >= 0 && level > 0; index--) {
      if (depth[index] < level) { open[index] = true; level = depth[index]; }
    }
    filter.value = "";
    paint();
    rows[target].scrollIntoView({ block: "center" });
  };
  window.addEventListener("hashchange", reveal);
  paint();
  reveal();
})();
