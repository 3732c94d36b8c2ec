// The page of `ddpm-rt serve`: asks for pictures, shows them while they are drawn, and says how to draw each again.
"use strict";

const byId = (id) => document.getElementById(id);
const DIGITS = 10; // a model of so many labels may write a number
const PREVIEWS = 24; // of a picture
let models = [];
let tiles = new Map(); // sample (a string) to {button, image, frames, facts}
let drawing = null; // the AbortController of the request under way
let steps = 0; // of the pictures in the gallery

const headers = (more = {}) => {
  const token = byId("token").value.trim();
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
};

const say = (text, isError = false) => {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
};

const model = () => models.find((one) => one.name === byId("model").value);

const fill = (select, options) => {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
};

/** The sentence of a response that is not a success. */
async function refusal(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the server answered ${response.status}`;
  }
}

async function loadModels() {
  const response = await fetch("v1/models", { headers: headers() });
  if (response.status === 401) {
    byId("token-field").hidden = false;
    byId("token").focus();
    say("This server needs a token.");
    return;
  }
  if (!response.ok) return say(await refusal(response), true);
  models = (await response.json()).models;
  fill(byId("model"), models.map((one) => [one.name, one.name]));
  showModel();
  say("Choose, then draw.");
}

function showModel() {
  const chosen = model();
  const tables = chosen.tables.map((table) => [`table ${table.pinned}`, `${table.name}: ${table.steps} steps`]);
  fill(byId("sampler"), [...chosen.samplers.map((name) => [`sampler ${name}`, name]), ...tables]);
  byId("sampler").value = tables.length ? tables[0][0] : "sampler ddim";
  byId("steps").max = chosen.train_steps;
  const labels = chosen.labels || [];
  document.querySelector(".labelled").hidden = labels.length === 0;
  document.querySelector(".guided").hidden = chosen.null_class === null;
  document.querySelector(".digits").hidden = labels.length !== DIGITS;
  const every = chosen.null_class === null ? [] : [["", "every class in turn"]];
  fill(byId("label"), [...every, ...labels.map((label) => [label, label])]);
  showSampler();
}

function showSampler() {
  byId("steps-field").hidden = !byId("sampler").value.startsWith("sampler ");
}

/** The request that the form means. */
function asked() {
  const [kind, name] = byId("sampler").value.split(" ");
  const wanted = { seed: byId("seed").value.trim(), count: Number(byId("count").value), previews: PREVIEWS };
  wanted[kind] = name;
  if (kind === "sampler") wanted.steps = Number(byId("steps").value);
  const chosen = model();
  if (!chosen.labels) return wanted;
  const digits = byId("number").value.replace(/[^0-9]/g, "");
  if (chosen.labels.length === DIGITS && digits) {
    wanted.label = [...digits].map((digit) => chosen.labels[Number(digit)]);
    wanted.count = digits.length;
  } else if (byId("label").value !== "") {
    wanted.label = Number(byId("label").value);
  }
  const guidance = Number(byId("guidance").value);
  if (chosen.null_class !== null && guidance !== 1) wanted.guidance = guidance;
  return wanted;
}

function makeTiles(wanted) {
  tiles = new Map();
  steps = 0;
  byId("trajectory").hidden = true;
  byId("gallery").classList.toggle("number", Array.isArray(wanted.label));
  const buttons = [];
  for (let sample = 0; sample < wanted.count; sample += 1) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.alt = "";
    button.type = "button";
    button.disabled = true;
    button.className = "drawing";
    button.setAttribute("aria-label", `Picture ${sample}, being drawn`);
    button.append(image);
    const tile = { button, image, frames: [], facts: null };
    button.addEventListener("click", () => showDetails(tile));
    tiles.set(String(sample), tile);
    buttons.push(button);
  }
  byId("gallery").replaceChildren(...buttons);
}

const asImage = (png) => `data:image/png;base64,${png}`;

const HANDLERS = {
  step(facts) {
    const tile = tiles.get(facts.sample);
    steps = facts.steps;
    if (!facts.png) return;
    tile.frames.push({ row: facts.row, source: asImage(facts.png) });
    tile.image.src = asImage(facts.png);
  },
  image(facts) {
    const tile = tiles.get(facts.sample);
    tile.facts = facts;
    tile.frames.push({ row: steps, source: asImage(facts.png) });
    tile.image.src = asImage(facts.png);
    tile.button.disabled = false;
    tile.button.className = "";
    const label = facts.label === null ? "" : `, label ${facts.label}`;
    tile.button.setAttribute("aria-label", `Picture ${facts.sample} of seed ${facts.seed}${label}`);
    const done = [...tiles.values()].filter((one) => one.facts).length;
    say(`${done} of ${tiles.size} pictures`);
  },
  error(facts) {
    throw new Error(facts.error);
  },
  done() {},
};

/** Read server-sent events from a response; EventSource can only send GET without headers. */
async function readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(event);
      if (found) HANDLERS[found[1]](JSON.parse(found[2]));
    }
  }
}

function showSlider() {
  const most = Math.max(...[...tiles.values()].map((tile) => tile.frames.length));
  if (most < 2) return;
  const slider = byId("slider");
  slider.max = most - 1;
  slider.value = slider.max;
  byId("trajectory").hidden = false;
  showFrame();
}

function showFrame() {
  const back = Number(byId("slider").max) - Number(byId("slider").value);
  let row = 0;
  for (const tile of tiles.values()) {
    const frame = tile.frames[Math.max(0, tile.frames.length - 1 - back)];
    if (!frame) continue;
    tile.image.src = frame.source;
    row = frame.row;
  }
  byId("step-text").textContent = back === 0 ? `${steps} of ${steps}: the picture` : `${row + 1} of ${steps}: predicted`;
}

async function draw(event) {
  event.preventDefault();
  if (!models.length) return loadModels();
  drawing?.abort();
  const mine = new AbortController();
  drawing = mine;
  const wanted = asked();
  say("Drawing ...");
  byId("stop").disabled = false;
  try {
    const response = await fetch(`v1/models/${encodeURIComponent(model().name)}/images`, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", Accept: "text/event-stream" }),
      body: JSON.stringify(wanted),
      signal: mine.signal,
    });
    if (!response.ok) throw new Error(await refusal(response));
    makeTiles(wanted);
    await readEvents(response);
    const missing = [...tiles.values()].some((tile) => !tile.facts);
    say(missing ? "The server ended the drawing." : `${tiles.size} pictures of seed ${wanted.seed}`, missing);
    showSlider();
  } catch (error) {
    if (mine.signal.aborted) {
      if (drawing === mine) say("Stopped.");
    } else {
      say(error.message, true);
    }
  } finally {
    if (drawing === mine) byId("stop").disabled = true;
  }
}

function showDetails(tile) {
  const { facts } = tile;
  byId("details-title").textContent = `Picture ${facts.sample} of seed ${facts.seed}`;
  byId("details-image").src = asImage(facts.png);
  byId("details-url").textContent = new URL(facts.url.slice(1), document.baseURI).href;
  byId("details-seed").textContent = facts.seed;
  byId("details-command").textContent = facts.command;
  byId("details").showModal();
}

async function copy(button) {
  const text = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text); // a page without HTTPS may not write to the clipboard
  }
}

byId("form").addEventListener("submit", draw);
byId("model").addEventListener("change", showModel);
byId("sampler").addEventListener("change", showSampler);
byId("slider").addEventListener("input", showFrame);
byId("stop").addEventListener("click", () => drawing?.abort());
byId("token").addEventListener("change", loadModels);
byId("details-close").addEventListener("click", () => byId("details").close());
byId("next-seed").addEventListener("click", () => {
  byId("seed").value = (BigInt(byId("seed").value || "0") + 1n).toString();
  byId("form").requestSubmit();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
loadModels().catch((error) => say(error.message, true));
