// A worker whose clock goes on in a hidden tab, where a page's own timers are slowed down to one a minute.

const EVERY_MS = 5000;

setInterval(() => postMessage(0), EVERY_MS);
