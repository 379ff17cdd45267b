"use strict";

for (const [name, chart] of Object.entries(JSON.parse(document.getElementById("charts").textContent))) {
  const figure = document.querySelector(`.figure[data-name="${name}"]`);
  if (!figure) continue;
  const target = document.createElement("div");
  figure.append(target);
  Plotly.newPlot(target, chart.data, chart.layout, { displayModeBar: false, responsive: true })
    .then(() => figure.querySelector("img").remove());
}
