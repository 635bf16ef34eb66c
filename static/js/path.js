// Turns as the server has them, put where others stand: another version and what follows it, or what a page missed.
// What is the same stays, so that whoever reads it is not disturbed.

const number = (turn) => Number(turn.dataset.number);
const turnsOf = (root) => [...root.querySelectorAll(".turn")];
const same = (one, other) =>
  one?.id === other.id && one.dataset.status === other.dataset.status && !other.hasAttribute("aria-busy");

// A turn has always the same ones before it: where the first of `fresh` stands already, or just behind what it follows,
// the older ones are right too.
const joins = (shown, fresh, first) => {
  const start = number(fresh[0]);
  const there = shown.find((turn) => number(turn) === start);
  if (there?.id === fresh[0].id) return true;
  return start === first && shown.some((turn) => number(turn) === start - 1);
};

const removeFrom = (root, start) => {
  root.querySelector(":scope > .later")?.remove();
  for (const turn of turnsOf(root)) {
    if (number(turn) < start) continue;
    document.getElementById(`after-${turn.dataset.number}`)?.remove();
    turn.remove();
  }
};

// `page`: a document with turns, oldest first. `first`: the number from which on the path is known to differ.
export const lay = (root, page, first) => {
  const fresh = turnsOf(page);
  const shown = turnsOf(root);
  if (!fresh.length || !joins(shown, fresh, first)) {
    root.replaceChildren(...page.body.childNodes);
    return;
  }
  const at = new Map(shown.map((turn) => [number(turn), turn]));
  const changed = fresh.find((turn) => !same(at.get(number(turn)), turn)) ?? fresh.at(-1);
  removeFrom(root, number(changed));
  for (let node = changed; node; ) {
    const next = node.nextElementSibling;
    root.append(node);
    node = next;
  }
};
