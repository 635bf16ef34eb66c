// What is said to who listens instead of looking: one polite region for the whole page. The transcript itself is not
// spoken as it changes; a reply is said here once, when it is whole.

const LONGEST = 3_000;
const AGAIN_MS = 100;

let region = null;
let timer = 0;

export const announce = (text) => {
  region ??= document.getElementById("announcer");
  if (!region) return;
  clearTimeout(timer);
  // The same words twice are news only after silence.
  if (region.textContent === text) region.textContent = "";
  timer = setTimeout(() => (region.textContent = text), region.textContent ? 0 : AGAIN_MS);
};

// A reply as it ended, without the words of our own buttons in it; what is wrong with it is said by its own alert.
export const announceReply = (article) => {
  const buttons = article.querySelectorAll(".reply button");
  for (const button of buttons) button.hidden = true;
  const words = [...article.querySelectorAll(".reply, .cut:not([role=alert]) p")].map((part) => part.innerText.trim());
  for (const button of buttons) button.hidden = false;
  const text = words.filter(Boolean).join("\n");
  if (text) announce(text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);
};
