"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let items = [];  // the chosen images: file, address of its content, and prediction once it is known
let selected = null;
let facts = {};  // of the chosen model
let choices = 0;  // responses for earlier choices of images or model are dropped
let explanations = 0;

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function ask(address, file, more = {}) {
  const query = new URLSearchParams({ name: facts.name, version: facts.version, ...more });
  return fetch(`${address}?${query}`, file && { method: "POST", body: file });
}

function bar(item, name, value) {
  const row = make("button", "bar");
  const length = make("progress", "");
  row.type = "button";
  length.value = value;
  row.append(make("span", "", name), length, make("span", "", percent(value)));
  row.title = `Show the evidence for ${name}`;
  row.addEventListener("click", () => explain(item, name));
  return row;
}

// What a prediction says: title, short caption, and a sentence.
function words({ label, probability, abstained, reason, detail }) {
  if (reason) return ["Not a usable image", "not usable", `${reason}: ${detail}`];
  if (!abstained) return [label, `${label} ${percent(probability)}`, `${percent(probability)} sure`];
  const limit = facts.abstain_below === null ? "" : `; this model abstains below ${percent(facts.abstain_below)}`;
  const sentence = `The most probable class is ${label}, ${percent(probability)}${limit}`;
  return ["Abstained: not confident enough", "abstained", sentence];
}

function show(item) {
  selected = item;
  explanations++;
  for (const one of items) one.button.setAttribute("aria-pressed", one === item);
  const [title, , sentence] = item.prediction ? words(item.prediction) : ["…", "", ""];
  const probabilities = Object.entries((item.prediction && item.prediction.probabilities) || {});
  at("images").hidden = at("explanation").hidden = true;
  at("image").src = item.address;
  at("name").textContent = item.file.name;
  at("label").textContent = title;
  at("detail").textContent = sentence;
  at("bars").replaceChildren(...probabilities.map(([name, value]) => bar(item, name, value)));
  at("prediction").hidden = false;
  if (item.prediction && item.prediction.label) explain(item, item.prediction.label);
}

async function explain(item, name) {
  const request = ++explanations;
  const response = await ask("explain", item.file, { label: name });
  if (!response.ok || request !== explanations) return;
  const blob = await response.blob();
  URL.revokeObjectURL(at("heat").src);
  at("heat").src = URL.createObjectURL(blob);
  at("class").textContent = name;
  at("explanation").hidden = false;
  for (const row of at("bars").children) row.setAttribute("aria-pressed", row.firstChild.textContent === name);
}

async function predict(item) {
  try {
    const response = await ask("predict", item.file);
    const prediction = await response.json();
    return prediction.abstained === undefined ? { reason: "error", detail: prediction.detail } : prediction;
  } catch (error) {
    return { reason: "no response", detail: "the server cannot be reached" };
  }
}

function thumbnail(item) {
  const button = make("button", "thumbnail");
  const image = make("img", "");
  button.type = "button";
  image.src = item.address;
  image.alt = item.file.name;
  button.append(image, make("span", "", "…"));
  button.addEventListener("click", () => show(item));
  return button;
}

async function choose(files) {
  if (!files.length) return;
  const choice = ++choices;
  for (const item of items) URL.revokeObjectURL(item.address);
  items = files.map((file) => ({ file, address: URL.createObjectURL(file) }));
  for (const item of items) item.button = thumbnail(item);
  at("gallery").replaceChildren(...items.map((item) => item.button));
  at("gallery").hidden = items.length < 2;
  show(items[0]);
  for (const item of items) {
    const prediction = await predict(item);
    if (choice !== choices) return;
    item.prediction = prediction;
    item.button.lastChild.textContent = words(prediction)[1];
    item.button.classList.toggle("unsure", Boolean(prediction.abstained || prediction.reason));
    if (item === selected) show(item);
  }
}

function describe({ class_names: names, threshold, abstain_below: limit }) {
  const rules = [limit === null ? "never abstains" : `abstains below ${percent(limit)}`];
  if (threshold !== null) rules.unshift(`predicts ${names[1]} from ${percent(threshold)}`);
  return `Classes: ${names.join(", ")} (${rules.join(", ")})`;
}

async function chooseModel(model = {}) {
  const choice = ++choices;
  at("classes").textContent = "Loading …";
  const response = await fetch(`model?${new URLSearchParams(model)}`);
  const found = await response.json().catch(() => ({ detail: "The model cannot be loaded." }));
  if (choice !== choices) return;
  at("drop").hidden = !response.ok;
  at("classes").textContent = response.ok ? describe(found) : found.detail;
  if (response.ok) {
    facts = found;
    at("model").textContent = `${found.name} version ${found.version}`;
    choose(items.map((item) => item.file));
  } else {
    at("gallery").hidden = at("images").hidden = at("prediction").hidden = true;
  }
}

async function listModels() {
  await chooseModel();
  const groups = new Map();
  for (const { name, version, aliases } of await (await fetch("models")).json()) {
    const option = make("option", "", `version ${version}${aliases.length ? ` (${aliases.join(", ")})` : ""}`);
    option.value = JSON.stringify({ name, version });
    option.selected = name === facts.name && version === facts.version;
    if (!groups.has(name)) groups.set(name, document.createElement("optgroup"));
    groups.get(name).label = name;
    groups.get(name).append(option);
  }
  at("version").replaceChildren(...groups.values());
}

at("image").addEventListener("load", () => { at("images").hidden = false; });
at("file").addEventListener("change", (event) => {
  choose([...event.target.files]);
  event.target.value = "";  // so that the same files can be chosen again
});
at("version").addEventListener("change", (event) => chooseModel(JSON.parse(event.target.value)));
for (const name of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") choose([...event.dataTransfer.files]);
  });
}
listModels();
