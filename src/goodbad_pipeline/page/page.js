"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let asked = 0;  // a later file's answer is never overtaken by an earlier one's

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
  row.title = `Show what speaks for ${name}`;
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
  at("answer").hidden = false;
}

async function explain(file, name) {
  const turn = ++asked;
  const response = await fetch(`explain?label=${encodeURIComponent(name)}`, { method: "POST", body: file });
  if (!response.ok || turn !== asked) return;
  put(at("heat"), await response.blob());
  at("class").textContent = name;
  at("why").hidden = false;
  for (const row of at("bars").children) row.setAttribute("aria-pressed", row.firstChild.textContent === name);
}

async function ask(file) {
  if (!file) return;
  const turn = ++asked;
  at("seen").hidden = at("why").hidden = true;
  put(at("image"), file);
  show("…", file.name);
  let answer;
  try {
    const response = await fetch("predict", { method: "POST", body: file });
    answer = await response.json();
  } catch (error) {
    show("No answer", "The server cannot be reached any more.");
    return;
  }
  if (turn !== asked) return;
  const bars = Object.entries(answer.probabilities || {}).map(([name, value]) => bar(file, name, value));
  if (answer.reason) {
    show("Not a usable image", `${answer.reason}: ${answer.detail}`);
  } else if (answer.abstained) {
    show("Too unsure to say", `The likeliest is ${answer.label}, ${percent(answer.probability)}`, bars);
  } else {
    show(answer.label, `${percent(answer.probability)} sure`, bars);
  }
  if (answer.label) explain(file, answer.label);
}

at("image").addEventListener("load", () => { at("seen").hidden = false; });
at("file").addEventListener("change", (event) => ask(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") ask(event.dataTransfer.files[0]);
  });
}
fetch("model").then((response) => response.json()).then((model) => {
  at("model").textContent = `${model.name} version ${model.version}`;
});
