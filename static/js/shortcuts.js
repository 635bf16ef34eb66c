// Shortcuts, by the table in the sheet that lists them. Those that another script takes (Ctrl+K, Escape) are only listed.

const NARROW = "(max-width: 48rem)";
const LISTED = ["stop"];

const editable = (element) => Boolean(element?.closest?.("input, textarea, select, [contenteditable]"));

const fits = (event, keys) => {
  const parts = keys.split("+");
  const key = parts.pop();
  if (key === "Question") return event.key === "?" && !event.ctrlKey && !event.altKey && !editable(event.target);
  // By its place: with Alt some systems write another letter.
  const same = key.length === 1 ? event.code === `Key${key}` : event.key === key;
  return (
    same &&
    event.altKey === parts.includes("Alt") &&
    event.shiftKey === parts.includes("Shift") &&
    (event.ctrlKey || event.metaKey) === parts.includes("Control")
  );
};

export const shortcuts = ({ form }) => {
  const sheet = document.getElementById("shortcuts");
  const app = document.querySelector(".app");
  const rail = document.getElementById("rail");

  const neighbour = (step) => {
    const rows = [...document.querySelectorAll(".rail a.row[href]")];
    const to = rows[rows.findIndex((row) => row.hasAttribute("aria-current")) + step];
    if (to) location.assign(to.href);
  };
  const sidebar = () => {
    if (matchMedia(NARROW).matches) return rail.togglePopover();
    app.classList.toggle("no-rail");
  };
  const open = () => {
    const back = document.activeElement;
    sheet.addEventListener("close", () => back?.focus?.({ preventScroll: true }), { once: true });
    sheet.showModal();
  };

  const doing = {
    new: () => document.querySelector('.rail form[action$="/new/"]').requestSubmit(),
    search: () => {
      if (app.classList.contains("no-rail")) sidebar();
      if (matchMedia(NARROW).matches && !rail.matches(":popover-open")) rail.showPopover();
      document.getElementById("query")?.focus();
    },
    focus: () => form.elements.text.focus(),
    copy: () => [...document.querySelectorAll('#transcript [data-copy="reply"]')].at(-1)?.click(),
    sidebar,
    previous: () => neighbour(-1),
    next: () => neighbour(1),
    help: open,
  };

  const table = [...sheet.querySelectorAll("[data-keys]")].map(({ dataset }) => [dataset.action, dataset.keys]);
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const [action] = table.find(([, keys]) => fits(event, keys)) ?? [];
    if (!action || LISTED.includes(action)) return;
    event.preventDefault();
    doing[action]();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-help]")) open();
    // On a desk the sidebar that was put away comes back by the same button that opens the drawer on a phone.
    const menu = event.target.closest?.('[popovertarget="rail"]');
    if (menu && app.classList.contains("no-rail") && !matchMedia(NARROW).matches) {
      event.preventDefault();
      sidebar();
    }
  });
  return { do: (action) => doing[action]() };
};
