// Starts the page: everything that takes time is begun at once, and whatever keeps Causeway from running is said
// in a sentence, without any of the machinery that may be what failed.

/** Shows a sentence at the top of the page. */
function say(sentence) {
  const place = document.getElementById("trouble");
  place.textContent = sentence;
  place.dataset.testid = "error";
  place.hidden = false;
}

/** Compiles while the bytes arrive where the server names their type, and once they are there where it does not. */
async function compile(answer) {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
  return response.headers.get("content-type")?.startsWith("application/wasm")
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

/** What the operator of this page has set: trackers and ICE servers. The page is of use without them, too. */
async function configuration(answer) {
  try {
    const response = await answer;
    if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
    return await response.json();
  } catch (error) {
    console.warn(error);
    say("This page's settings (config.json) could not be loaded, so it knows no tracker and may find nobody. Check your connection and reload.");
    return { trackers: [], iceServers: [] };
  }
}

/** Loads the worker, whose first message will be the compiled module. */
function startWorker() {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module", name: "causeway" });
  worker.addEventListener("error", (event) => {
    console.error(event.message);
    say("Causeway has stopped working in this tab. Reload the page: what was downloaded so far is kept. If it happens again, this browser may be too old.");
  });
  return worker;
}

async function boot() {
  if (typeof WebAssembly !== "object" || typeof Worker !== "function") {
    say("This browser can't run WebAssembly in the background, which Causeway needs. Use a current version of Chrome, Edge, Firefox or Safari.");
    return;
  }
  const wasm = compile(fetch(new URL("causeway-web_bg.wasm", import.meta.url)));
  const settings = configuration(fetch(new URL("config.json", import.meta.url)));
  const bindings = import("./causeway-web.js");
  const worker = startWorker();

  const module = await wasm;
  worker.postMessage({ module });
  const { default: init, start_page } = await bindings;
  await init({ module_or_path: module });
  start_page(worker, await settings);
}

addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) {
    say("Something in this page broke. Reload it: what was downloaded so far is kept.");
  }
});

boot().catch((error) => {
  console.error(error);
  say("Causeway could not be started. Check your connection and reload the page; if it happens again, this browser may be too old for it.");
});
