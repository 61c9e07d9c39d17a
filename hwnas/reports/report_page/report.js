"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads a few HTML tags in hover texts: names must not be able to write them.
  const safe = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const axisTitle = (o) =>
    `${safe(o.name)}${o.unit ? ` [${safe(o.unit)}]` : ""}, ${
      o.direction === "minimize" ? "lower" : "higher"} is better`;
  const lines = (arch) => safe(arch).replace(/(.{36,}?[+,;|])/g, "$1<br>");
  const hover = (point, label) =>
    [`<b>${label}</b>`,
      ...data.objectives.map((o, i) =>
        `${safe(o.name)}: ${point.values[i] === null ? "none" : Number(point.values[i].toPrecision(6))}${
          o.unit ? ` ${safe(o.unit)}` : ""}`),
      lines(point.arch)].join("<br>");

  function axes() {
    const m = data.objectives.length;
    if (m === 1) return [[null, 0]];
    const pairs = [];
    for (let i = 0; i < m; i++) for (let j = i + 1; j < m; j++) pairs.push([i, j]);
    // What is paid stands on the x axis where the other is gained.
    return pairs.map(([i, j]) =>
      data.objectives[i].direction === "maximize" && data.objectives[j].direction === "minimize"
        ? [j, i] : [i, j]);
  }

  function points(list, [x, y], label, style) {
    const shown = list.filter((p) => p.values[y] !== null && (x === null || p.values[x] !== null));
    return {
      type: "scatter", mode: "markers", hoverinfo: "text", ...style,
      x: shown.map((p) => (x === null ? (p.order ?? 0) : p.values[x])),
      y: shown.map((p) => p.values[y]),
      text: shown.map((p) => hover(p, label(p))),
      customdata: shown.map((p) => p.rank ?? null),
    };
  }

  function traces(pair) {
    const [x] = pair;
    const two = data.objectives.length === 2;
    const dominated = data.others.filter((p) => p.status === "complete");
    const infeasible = data.others.filter((p) => p.status === "infeasible");
    const front = two ? [...data.members].sort((a, b) => a.values[x] - b.values[x]) : data.members;
    const rest = [
      points(dominated, pair, () => "dominated",
        { name: "dominated", marker: { color: colour("point"), size: 6, opacity: 0.7 } }),
      points(infeasible, pair, () => "infeasible",
        { name: "infeasible", marker: { color: colour("point"), size: 7, symbol: "x-thin-open" } }),
    ];
    const members = points(front, pair, (p) => `#${p.rank}`, {
      name: "Pareto set",
      mode: two ? "lines+markers" : "markers",
      marker: { color: colour("accent"), size: 10, line: { color: colour("surface"), width: 1.5 } },
      line: {
        color: colour("accent"), width: 1.5,
        shape: x !== null && data.objectives[x].direction === "maximize" ? "vh" : "hv",
      },
    });
    const knee = points(data.members.filter((p) => p.rank === data.knee), pair,
      (p) => `#${p.rank}, nearest to the ideal point`, {
        name: "nearest to ideal",
        marker: { color: colour("star"), size: 15, symbol: "star",
          line: { color: colour("surface"), width: 1.5 } },
      });
    const chosen = points(data.members.filter((p) => p.rank === selected), pair, (p) => `#${p.rank}`, {
      name: "selected", showlegend: false,
      marker: { color: colour("star"), size: 20, symbol: "circle-open", line: { width: 3 } },
    });
    const baseline = points(data.baseline ? [data.baseline] : [], pair, () => "your present network",
      { name: "your present network",
        marker: { color: colour("text"), size: 13, symbol: "diamond-open", line: { width: 2.5 } } });
    return [...rest.filter((t) => t.x.length), members, knee,
      ...(baseline.y.length ? [baseline] : []), chosen];
  }

  function layout([x, y], alone) {
    const axis = (o) => ({
      title: { text: o ? axisTitle(o) : "order of evaluation", font: { size: alone ? 13 : 11 } },
      gridcolor: colour("grid"), linecolor: colour("line"), zeroline: false, automargin: true,
    });
    return {
      xaxis: axis(data.objectives[x]), yaxis: axis(data.objectives[y]),
      margin: { l: 56, r: 16, t: alone ? 40 : 14, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
      showlegend: alone, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hovermode: "closest",
      hoverlabel: { align: "left", bgcolor: colour("surface"), bordercolor: colour("line"),
        font: { color: colour("text"), size: 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("point"), activecolor: colour("accent") },
      // A finger on the plot must still scroll the page.
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    };
  }

  let selected = null;
  const host = document.querySelector(".plots");
  const plots = host ? axes().map((pair) => {
    const frame = document.createElement("div");
    const div = document.createElement("div");
    frame.className = "plot";
    frame.append(div);
    host.append(frame);
    return { pair, div };
  }) : [];

  function draw() {
    for (const { pair, div } of plots) {
      Plotly.react(div, traces(pair), layout(pair, plots.length === 1), {
        displaylogo: false, displayModeBar: plots.length === 1 ? "hover" : false,
        // A list of its own: the default one has a button that uploads the chart.
        showSendToCloud: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      });
    }
  }

  function select(rank, scroll) {
    selected = rank;
    for (const element of document.querySelectorAll("[data-rank]")) {
      const chosen = Number(element.dataset.rank) === rank;
      element.classList.toggle("selected", chosen);
      if (chosen && scroll && element.matches(scroll)) {
        element.scrollIntoView({ behavior: "smooth", block: "center" });
      }
    }
    draw();
  }

  draw();
  for (const { div } of plots) {
    new ResizeObserver(() => Plotly.Plots.resize(div)).observe(div.parentNode);
    div.on("plotly_click", (event) => {
      const rank = event.points[0].customdata;
      if (rank !== null) select(rank, null);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  for (const element of document.querySelectorAll("tbody tr, .card")) {
    element.addEventListener("click", () => select(Number(element.dataset.rank), null));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter") select(Number(element.dataset.rank), null);
    });
  }

  const compare = (a, b) => {
    if (a === "" || b === "") return a === b ? 0 : NaN;
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = [...head.parentNode.children].indexOf(head);
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const order = compare(value(a), value(b));
        // Missing values stay at the end in either order.
        if (Number.isNaN(order)) return value(a) === "" ? 1 : -1;
        return down ? -order : order;
      });
      body.append(...rows);
    });
  }
})();
