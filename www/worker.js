// The worker that holds every torrent. Its first message is the module, already compiled for the page;
// messages that come before that has started wait for it, in their order.

import init, { start_worker } from "./causeway-web.js";

const waiting = [];
let starting = false;

addEventListener("message", hold);

function hold(event) {
  event.stopImmediatePropagation();
  if (starting) {
    waiting.push(event);
  } else {
    starting = true;
    start(event.data.module);
  }
}

async function start(module) {
  try {
    await init({ module_or_path: module });
    removeEventListener("message", hold);
    start_worker();
  } catch (error) {
    // A rejected promise does not reach the page, an error that nobody caught does.
    setTimeout(() => { throw error; });
    return;
  }
  for (const { data, ports } of waiting) dispatchEvent(new MessageEvent("message", { data, ports: [...ports] }));
}
