"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads a few HTML tags in texts: names must not be able to write them.
  const safe = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const hues = ["accent", "pool", "conv1", "other", "skip"];
  const hue = (dataset) => colour(hues[data.datasets.indexOf(dataset) % hues.length]);
  const config = { displaylogo: false, displayModeBar: false, showSendToCloud: false };
  const bars = data.metrics.flatMap((m) => m.bars);
  const ends = bars.flatMap((b) => [b.value, b.published, ...(b.interval ?? [])])
    .filter((v) => v !== null && v !== undefined);
  const range = [Math.min(0, ...ends) - 0.02, Math.max(1, ...ends) + 0.02];

  function base(height) {
    return {
      height, barmode: "group", bargap: 0.25, margin: { l: 10, r: 10, t: 30, b: 8 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
      hovermode: "closest", dragmode: false,
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"),
        font: { color: colour("text") } },
    };
  }
  const axis = (more) => ({ gridcolor: colour("grid"), linecolor: colour("line"),
    zerolinecolor: colour("line"), automargin: true, ...more });

  function frame(host, title) {
    const head = document.createElement("h3");
    head.textContent = title;
    const box = document.createElement("div");
    const div = document.createElement("div");
    box.className = "plot";
    box.append(head, div);
    host.append(box);
    new ResizeObserver(() => Plotly.Plots.resize(div)).observe(box);
    return div;
  }

  const host = document.getElementById("ranks");
  const panels = data.metrics.map((metric) => ({ metric, div: frame(host, metric.title) }));
  const height = 80 + data.labels.length * (12 + 10 * data.datasets.length);
  for (const { div } of panels) div.parentNode.style.height = `${height + 44}px`;

  function draw({ metric, div }) {
    // Plotly stacks the bars of a group from below.
    const traces = [...data.datasets].reverse().map((dataset) => {
      const shown = metric.bars.filter((b) => b.dataset === dataset);
      return {
        type: "bar", orientation: "h", name: safe(dataset), marker: { color: hue(dataset) },
        x: shown.map((b) => b.value), y: shown.map((b) => safe(b.label)),
        customdata: shown.map((b) => b.score), hovertemplate: "%{y}: %{x:.3f}<extra></extra>",
        error_x: shown.some((b) => b.interval) ? {
          type: "data", symmetric: false, thickness: 1, width: 2, color: colour("soft"),
          array: shown.map((b) => (b.interval ? b.interval[1] - b.value : 0)),
          arrayminus: shown.map((b) => (b.interval ? b.value - b.interval[0] : 0)),
        } : undefined,
      };
    });
    for (const dataset of data.datasets) {
      const shown = metric.bars.filter((b) => b.dataset === dataset && b.published != null);
      if (shown.length) traces.push({
        type: "scatter", mode: "markers",
        x: shown.map((b) => b.published), y: shown.map((b) => safe(b.label)),
        marker: { symbol: "diamond-open", size: 9, color: hue(dataset), line: { width: 2 } },
        hovertemplate: "%{y}, published: %{x:.3f}<extra></extra>",
      });
    }
    Plotly.react(div, traces, {
      ...base(height),
      xaxis: axis({ range, side: "top" }),
      yaxis: axis({ categoryorder: "array", categoryarray: [...data.labels].reverse().map(safe),
        tickfont: { size: 11 } }),
    }, config);
  }

  const clouds = document.getElementById("clouds");
  const scatter = document.getElementById("scatter");
  let chosen = null;
  function show(score) {
    const found = data.points.filter((p) => p.score === score);
    if (!clouds || !found.length) return;
    chosen = score;
    scatter.hidden = false;
    document.getElementById("chosen").textContent = `${score} and ${data.column}`;
    clouds.replaceChildren();
    const percent = data.column === "accuracy";
    for (const cloud of found) {
      Plotly.react(frame(clouds, cloud.dataset), [{
        type: "scatter", mode: "markers", x: cloud.xy.map((p) => p[0]), y: cloud.xy.map((p) => p[1]),
        marker: { color: hue(cloud.dataset), size: 5, opacity: 0.6 },
        hovertemplate: `rank %{x:.2f}, %{y:.2f}${percent ? " %" : ""}<extra></extra>`,
      }], {
        ...base(undefined), margin: { l: 50, r: 10, t: 8, b: 44 },
        xaxis: axis({ title: { text: "rank by the score, best is 1" } }),
        yaxis: axis({ title: { text: percent ? "accuracy, %" : data.column } }),
      }, config);
    }
    scatter.scrollIntoView({ behavior: "smooth", block: "nearest" });
  }

  const legend = document.getElementById("legend");
  function colours() {
    legend.replaceChildren(...data.datasets.map((dataset) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = hue(dataset);
      item.append(mark, dataset);
      return item;
    }));
  }
  const all = () => { colours(); panels.forEach(draw); if (chosen) show(chosen); };
  all();
  for (const { div } of panels) {
    div.on("plotly_click", (event) => show(event.points[0].customdata));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
