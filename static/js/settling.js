// What a reply gets once it is settled: a button to copy each block of code, and a way to scroll by keyboard what is
// wider than the column.

export const settle = (root) => {
  const template = document.getElementById("copy-template");
  for (const caption of root.querySelectorAll?.(".code > figcaption") ?? []) {
    if (!caption.closest("[aria-busy]") && !caption.querySelector("button")) caption.append(template.content.cloneNode(true));
  }
  for (const box of root.querySelectorAll?.(".reply :is(pre, .table, .math)") ?? []) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};

// What fitted may not fit a phone that was turned.
addEventListener("resize", () => requestAnimationFrame(() => settle(document)));
