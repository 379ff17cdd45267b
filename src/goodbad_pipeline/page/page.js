"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;

function show(title, detail, probabilities) {
  at("label").textContent = title;
  at("detail").textContent = detail;
  at("bars").replaceChildren(...Object.entries(probabilities || {}).map(([name, value]) => {
    const row = document.createElement("div");
    const label = document.createElement("span");
    const bar = document.createElement("progress");
    const number = document.createElement("span");
    row.className = "bar";
    label.textContent = label.title = name;
    bar.value = value;
    number.textContent = percent(value);
    row.append(label, bar, number);
    return row;
  }));
  at("answer").hidden = false;
}

async function ask(file) {
  if (!file) return;
  at("picture").hidden = true;
  URL.revokeObjectURL(at("picture").src);
  at("picture").src = URL.createObjectURL(file);
  show("…", file.name, null);
  let answer;
  try {
    const response = await fetch("predict", { method: "POST", body: file });
    answer = await response.json();
  } catch (error) {
    show("No answer", "The server cannot be reached any more.", null);
    return;
  }
  if (answer.reason) {
    show("Not a usable picture", `${answer.reason}: ${answer.detail}`, null);
  } else if (answer.abstained) {
    show("Too unsure to say", `The likeliest is ${answer.label}, ${percent(answer.probability)}`, answer.probabilities);
  } else {
    show(answer.label, `${percent(answer.probability)} sure`, answer.probabilities);
  }
}

at("picture").addEventListener("load", () => { at("picture").hidden = false; });
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
