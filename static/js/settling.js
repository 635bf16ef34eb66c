// What a reply gets once it is settled: a button to copy each block of code, and a way to scroll by keyboard what is
// wider than the column.

// Changes come before questions about sizes: each question after a change is one more layout of the page.
export const button = (root) => {
  const template = document.getElementById("copy-template");
  for (const caption of root.querySelectorAll?.(".code > figcaption") ?? []) {
    if (!caption.closest("[aria-busy]") && !caption.querySelector("button")) caption.append(template.content.cloneNode(true));
  }
};

export const reach = (...roots) => {
  const boxes = roots.flatMap((root) => [...(root.querySelectorAll?.(".reply :is(pre, .table, .math)") ?? [])]);
  for (const box of boxes.filter((one) => one.scrollWidth > one.clientWidth)) box.tabIndex = 0;
};

export const settle = (root) => {
  button(root);
  reach(root);
};

// What fitted may not fit a phone that was turned.
addEventListener("resize", () => requestAnimationFrame(() => settle(document)));
