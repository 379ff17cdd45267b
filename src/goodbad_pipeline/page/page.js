"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let requests = 0;  // responses to earlier requests are dropped

function put(image, blob) {
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}

function bar(file, name, value) {
  const row = document.createElement("button");
  const label = document.createElement("span");
  const length = document.createElement("progress");
  const number = document.createElement("span");
  row.className = "bar";
  row.type = "button";
  label.textContent = name;
  row.title = `Show the evidence for ${name}`;
  length.value = value;
  number.textContent = percent(value);
  row.append(label, length, number);
  row.addEventListener("click", () => explain(file, name));
  return row;
}

function show(title, detail, bars = []) {
  at("label").textContent = title;
  at("detail").textContent = detail;
  at("bars").replaceChildren(...bars);
  at("prediction").hidden = false;
}

async function explain(file, name) {
  const request = ++requests;
  const response = await fetch(`explain?label=${encodeURIComponent(name)}`, { method: "POST", body: file });
  if (!response.ok || request !== requests) return;
  put(at("heat"), await response.blob());
  at("class").textContent = name;
  at("explanation").hidden = false;
  for (const row of at("bars").children) row.setAttribute("aria-pressed", row.firstChild.textContent === name);
}

async function predict(file) {
  if (!file) return;
  const request = ++requests;
  at("images").hidden = at("explanation").hidden = true;
  put(at("image"), file);
  show("…", file.name);
  let prediction;
  try {
    const response = await fetch("predict", { method: "POST", body: file });
    prediction = await response.json();
  } catch (error) {
    show("No response", "The server cannot be reached.");
    return;
  }
  if (request !== requests) return;
  const bars = Object.entries(prediction.probabilities || {}).map(([name, value]) => bar(file, name, value));
  if (prediction.reason) {
    show("Not a usable image", `${prediction.reason}: ${prediction.detail}`);
  } else if (prediction.abstained) {
    show("Abstained: not confident enough", `The most probable class is ${prediction.label}, ${percent(prediction.probability)}`, bars);
  } else {
    show(prediction.label, `${percent(prediction.probability)} sure`, bars);
  }
  if (prediction.label) explain(file, prediction.label);
}

at("image").addEventListener("load", () => { at("images").hidden = false; });
at("file").addEventListener("change", (event) => predict(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") predict(event.dataTransfer.files[0]);
  });
}
fetch("model").then((response) => response.json()).then((model) => {
  at("model").textContent = `${model.name} version ${model.version}`;
});
