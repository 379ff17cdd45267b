"use strict";

for (const [name, chart] of Object.entries(JSON.parse(document.getElementById("charts").textContent))) {
  const place = document.querySelector(`.figure[data-name="${name}"]`);
  if (!place) continue;
  const drawn = document.createElement("div");
  place.append(drawn);
  Plotly.newPlot(drawn, chart.data, chart.layout, { displayModeBar: false, responsive: true })
    .then(() => place.querySelector("img").remove());
}
