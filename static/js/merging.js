// The end of a reply: what is stored of the turn is put around what was written live. A block that is the same stays the
// very element it was, so that a selection in it, or how far somebody scrolled it sideways, outlives the end.

// What each live block looked like when it came: buttons and the like may have been added to it since.
export const written = new WeakMap();

// The children of `fresh` take the place of those of `parent`, save for those that stay: `kept` tells what each of the
// former is here. They stand in the same order in both.
const put = (parent, fresh, kept) => {
  const stays = new Set(kept.values());
  for (const node of [...parent.childNodes]) if (!stays.has(node)) node.remove();
  let at = parent.firstChild;
  for (const node of [...fresh.childNodes]) {
    if (kept.has(node)) at = kept.get(node).nextSibling;
    else parent.insertBefore(node, at);
  }
};

// The last block is known only at the end, and a reference that was defined late may have changed any.
const finish = (blocks, stored) => {
  const shown = [...blocks.children];
  const fresh = [...stored.children];
  fresh.forEach((block, index) => {
    const old = shown[index];
    if (!old) blocks.append(block);
    else if (written.get(old) !== block.outerHTML) old.replaceWith(block);
  });
  for (const old of shown.slice(fresh.length)) old.remove();
  for (const part of [...blocks.parentElement.children]) if (part !== blocks) part.remove();
};

const part = (turn, name) => turn.querySelector(`:scope > ${name}`);

// `article`: a turn whose reply was written here. `stored`: the same turn as the server tells it now.
export const merge = (article, stored) => {
  for (const { name } of [...article.attributes]) {
    if (name !== "tabindex" && !stored.hasAttribute(name)) article.removeAttribute(name);
  }
  for (const { name, value } of stored.attributes) article.setAttribute(name, value);

  const kept = new Map();
  const [asked, told] = [part(article, ".asked"), part(stored, ".asked")];
  const [user, words] = [asked?.querySelector(".user"), told?.querySelector(".user")];
  if (user && words && user.outerHTML === words.outerHTML) {
    put(asked, told, new Map([[words, user]]));
    kept.set(told, asked);
  }
  const [reply, whole] = [part(article, ".reply"), part(stored, ".reply")];
  const blocks = reply?.querySelector(":scope > .blocks");
  if (blocks && whole && !whole.querySelector(":scope > .blocks")) {
    finish(blocks, whole);
    kept.set(whole, reply);
  }
  put(article, stored, kept);
};

// What is said after turns that left the page while this was on its way has no place here any more; and the row of this
// conversation may stand on a page of the list that has not come yet, or in no list at all.
const PLACED = /id="((?:after|row)-[\da-f-]+)"([^<>]*) hx-swap-oob="true"/g;
const placed = (text) =>
  text.replace(PLACED, (whole, id, rest) =>
    document.getElementById(id) ? whole : `id="${id}"${rest} hx-swap-oob="none:#announcer"`,
  );

// As a way of swapping for htmx, `merge`: requests, parts out of band and what it does afterwards stay its own. For the
// whole page: what asks may be a row of the list, or a dialog.
export const merging = () => {
  document.body.setAttribute("hx-ext", "merge");
  htmx.defineExtension("merge", {
    transformResponse: placed,
    isInlineSwap: (style) => style === "merge",
    handleSwap: (style, target, fragment) => {
      const stored = fragment.querySelector(".turn");
      if (style !== "merge" || !stored) return false;
      merge(target, stored);
      return [target];
    },
  });
};
