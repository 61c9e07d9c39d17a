"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads a few HTML tags in hover texts: names must not be able to write them.
  const safe = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const axisTitle = (o) =>
    `${safe(o.name)}${o.unit ? ` [${safe(o.unit)}]` : ""}${o.predicted ? ", predicted" : ""}, ${
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

  const end = (p, i, which) => (p.intervals && p.intervals[i] ? Math.abs(p.intervals[i][which] - p.values[i]) : 0);
  const bars = (list, i) => (list.some((p) => p.intervals && p.intervals[i]) ? {
    type: "data", symmetric: false, array: list.map((p) => end(p, i, 1)),
    arrayminus: list.map((p) => end(p, i, 0)), thickness: 1, width: 3, color: colour("point"),
  } : undefined);

  function points(list, [x, y], label, style) {
    const shown = list.filter((p) => p.values[y] !== null && (x === null || p.values[x] !== null));
    return {
      type: "scatter", mode: "markers", hoverinfo: "text", ...style,
      x: shown.map((p) => (x === null ? (p.order ?? 0) : p.values[x])),
      y: shown.map((p) => p.values[y]),
      text: shown.map((p) => hover(p, label(p))),
      customdata: shown.map((p) => p.rank ?? null),
      error_y: bars(shown, y), error_x: x === null ? undefined : bars(shown, x),
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
    const hidden = front.filter((p) => !passes(p));
    const members = points(front.filter(passes), pair, (p) => `#${p.rank}`, {
      name: "front",
      mode: two ? "lines+markers" : "markers",
      marker: { color: colour("accent"), size: 10, line: { color: colour("surface"), width: 1.5 } },
      line: {
        color: colour("accent"), width: 1.5,
        shape: x !== null && data.objectives[x].direction === "maximize" ? "vh" : "hv",
      },
    });
    const filtered = points(hidden, pair, (p) => `#${p.rank}, outside of the filter`, {
      name: "outside of the filter", showlegend: false,
      marker: { color: colour("surface"), size: 9, line: { color: colour("accent"), width: 1 } },
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
    return [...rest.filter((t) => t.x.length), members, ...(hidden.length ? [filtered] : []), knee,
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

  const narrow = () => matchMedia("(max-width: 720px)").matches;
  let selected = null;
  const bounds = data.objectives.map(() => null);
  const within = (value, i) => bounds[i] === null ||
    (data.objectives[i].direction === "minimize" ? value <= bounds[i] : value >= bounds[i]);
  const passes = (p) => p.values.every(within);

  function frame(host) {
    const box = document.createElement("div");
    const div = document.createElement("div");
    box.className = "plot";
    box.append(div);
    host.append(box);
    new ResizeObserver(() => Plotly.Plots.resize(div)).observe(box);
    return div;
  }
  const config = (alone) => ({
    displaylogo: false, displayModeBar: alone && !narrow() ? "hover" : false,
    // A list of its own: the default one has a button that uploads the chart.
    showSendToCloud: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  });

  // Each value from the worst (0) to the best (1) on the front.
  function scaled(i) {
    const values = data.members.map((p) => p.values[i]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const up = data.objectives[i].direction === "maximize";
    const best = up ? high : low, worst = up ? low : high;
    return { best, worst, at: (v) => (best === worst ? 1 : (v - worst) / (best - worst)) };
  }
  const stacked = (name) => name.match(/[^_+]*[_+]|[^_+]+$/g).map(safe).join("<br>");
  const brief = (v) => (Math.abs(v) < 1e5 ? String(Number(v.toPrecision(4)))
    : new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format(v));

  function parallel(div) {
    const scales = data.objectives.map((_, i) => scaled(i));
    const line = (p) => ({
      type: "scatter", mode: "lines+markers", hoverinfo: "text", showlegend: false,
      x: data.objectives.map((_, i) => i), y: p.values.map((v, i) => scales[i].at(v)),
      text: p.values.map(() => hover(p, `#${p.rank}`)), customdata: p.values.map(() => p.rank),
      line: { width: p.rank === selected ? 4 : 1.5,
        color: p.rank === selected ? colour("star") : colour("accent") },
      marker: { size: 6 }, opacity: !passes(p) ? 0.12 : p.rank === selected ? 1 : 0.55,
    });
    const ends = data.objectives.flatMap((_, i) => [[1.06, scales[i].best], [-0.06, scales[i].worst]]
      .map(([y, value]) => ({ x: i, y, text: brief(value), showarrow: false,
        font: { size: 11, color: colour("soft") } })));
    const base = layout([0, 1], false);
    // Where the present network lies beyond the front it is drawn at the edge.
    const edge = (at) => Math.min(Math.max(at, -0.12), 1.12);
    const mark = (p) => ({
      type: "scatter", mode: "lines+markers", hoverinfo: "text", showlegend: false, connectgaps: true,
      x: data.objectives.map((_, i) => i),
      y: p.values.map((v, i) => (v === null ? null : edge(scales[i].at(v)))),
      text: p.values.map(() => hover(p, "your present network")), customdata: p.values.map(() => null),
      line: { width: 2, dash: "dash", color: colour("text") },
      marker: { size: 9, symbol: "diamond-open", line: { width: 2 } },
    });
    const present = data.baseline ? [mark(data.baseline)] : [];
    Plotly.react(div, [...data.members.map(line), ...present], {
      ...base, annotations: ends, margin: { l: 30, r: 30, t: 14, b: 30 },
      // Lying names: Plotly leaves out standing ones that it thinks too close.
      xaxis: { ...base.xaxis, title: undefined, tickvals: data.objectives.map((_, i) => i), tickangle: 0,
        ticktext: data.objectives.map((o) => (narrow() ? stacked(o.name) : safe(o.name))), range: [-0.3, data.objectives.length - 0.7] },
      yaxis: { ...base.yaxis, title: undefined, range: [-0.14, 1.14], showticklabels: false,
        showgrid: false },
    }, config(false));
  }

  const host = document.getElementById("plots");
  const pairs = host ? axes().map((pair) => ({ pair, div: null })) : [];
  const lines3 = host && data.objectives.length > 2 ? frame(host) : null;
  if (lines3) lines3.parentNode.classList.add("wide");
  for (const plot of pairs) plot.div = frame(host);
  const alone = pairs.length === 1;
  const past = document.getElementById("histories");
  const volumes = past && data.hypervolumes.length > 1 ? frame(past) : null;
  const histories = past && data.others.length
    ? data.objectives.map((_, i) => ({ pair: [null, i], div: frame(past) })) : [];
  if (past && !past.children.length) past.parentNode.hidden = true;

  function drawVolumes() {
    const base = layout([0, 1], false);
    // What is listed ends with the last gain; the line goes on to the last architecture.
    const last = data.hypervolumes[data.hypervolumes.length - 1];
    const steps = [...data.hypervolumes,
      [Math.max(last[0], data.members.length + data.others.length), last[1]]];
    Plotly.react(volumes, [{
      type: "scatter", mode: "lines", x: steps.map((p) => p[0]), y: steps.map((p) => p[1]), line: { shape: "hv", color: colour("accent"), width: 2 },
      hovertemplate: "after %{x}: %{y:.4f}<extra></extra>",
    }], {
      ...base,
      xaxis: { ...base.xaxis, title: { text: "architectures evaluated", font: { size: 11 } } },
      yaxis: { ...base.yaxis, title: { text: "hypervolume, share of the ideal", font: { size: 11 } } },
    }, config(false));
  }

  function draw() {
    for (const { pair, div } of pairs) {
      Plotly.react(div, traces(pair), layout(pair, alone), config(alone));
    }
    if (lines3) parallel(lines3);
    if (volumes) drawVolumes();
    for (const { pair, div } of histories) {
      const shown = traces(pair).map((t) => (t.mode === "lines+markers" ? { ...t, mode: "markers" } : t));
      Plotly.react(div, shown, layout(pair, false), config(false));
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
  for (const div of [...pairs, ...histories].map((p) => p.div).concat(lines3 ? [lines3] : [])) {
    div.on("plotly_click", (event) => {
      const rank = event.points[0].customdata;
      if (rank !== null && rank !== undefined) select(rank, narrow() ? ".card" : "tbody tr");
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  for (const element of document.querySelectorAll("tbody tr, .card")) {
    const choose = () => select(Number(element.dataset.rank), null);
    element.addEventListener("click", (event) => { if (!event.target.closest("input")) choose(); });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === element) choose();
    });
  }

  const filter = document.getElementById("filter");
  if (filter) {
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.addEventListener("input", () => {
      for (const input of filter.querySelectorAll("input")) {
        bounds[input.dataset.objective] = input.value === "" ? null : Number(input.value);
      }
      const kept = new Set(data.members.filter(passes).map((p) => p.rank));
      for (const element of document.querySelectorAll("tbody [data-rank], tbody tr, .card")) {
        element.hidden = !kept.has(Number(element.dataset.rank));
      }
      document.getElementById("filtered").textContent = bounds.some((b) => b !== null)
        ? `${kept.size} of ${data.members.length} members` : "";
      draw();
    });
  }

  const copy = document.getElementById("copy");
  if (copy) copy.addEventListener("click", async () => {
    const command = document.getElementById("command");
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      document.execCommand("copy");
    }
    copy.textContent = "Copied";
  });

  const large = document.getElementById("large");
  if (large) {
    large.addEventListener("click", () => large.close());
    document.addEventListener("click", (event) => {
      const drawing = event.target.closest(".drawing");
      if (!drawing) return;
      large.querySelector("div").replaceChildren(drawing.firstElementChild.cloneNode(true));
      large.showModal();
    });
  }

  // Two members beside each other: what each is better in, and by how much.
  const compared = document.getElementById("compared");
  const picks = [...document.querySelectorAll("td.pick input")];
  const chosenTwo = [];
  function showCompared() {
    for (const box of picks) box.checked = chosenTwo.includes(Number(box.value));
    compared.hidden = chosenTwo.length < 2;
    if (compared.hidden) return;
    const [a, b] = chosenTwo.map((rank) => data.members[rank - 1]);
    const table = document.createElement("table");
    const add = (texts, tag) => {
      const row = table.insertRow();
      for (const text of texts) {
        const cell = document.createElement(tag);
        cell.textContent = text;
        row.append(cell);
      }
    };
    add(["", `#${a.rank}`, `#${b.rank}`, `#${b.rank} against #${a.rank}`], "th");
    data.objectives.forEach((o, i) => {
      const [x, y] = [a.values[i], b.values[i]];
      const change = x ? `${y >= x ? "+" : "−"}${Math.abs((100 * (y - x)) / x).toPrecision(3)} %` : "";
      const gain = y === x ? "equal" : (y < x) === (o.direction === "minimize") ? "better" : "worse";
      add([`${o.name}${o.unit ? ` (${o.unit})` : ""}`, brief(x), brief(y), `${change} ${gain}`], "td");
    });
    const pictures = document.createElement("div");
    pictures.className = "pictures";
    for (const member of [a, b]) {
      const drawing = document.querySelector(`.card[data-rank="${member.rank}"] .drawing`);
      if (drawing) pictures.append(drawing.cloneNode(true));
    }
    compared.replaceChildren(table, pictures);
  }
  for (const box of picks) {
    box.addEventListener("change", () => {
      const rank = Number(box.value);
      if (box.checked) chosenTwo.push(rank); else chosenTwo.splice(chosenTwo.indexOf(rank), 1);
      if (chosenTwo.length > 2) chosenTwo.shift();
      showCompared();
    });
  }

  const compare = (a, b) => {
    if (a === "" || b === "") return a === b ? 0 : NaN;
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  for (const button of document.querySelectorAll("thead th button")) {
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
