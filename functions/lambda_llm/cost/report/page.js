"use strict";
// Computes options.toml's formulas as lambda_llm.cost.compare does; a test compares the two.
const data = JSON.parse(document.getElementById("data").textContent);
const FUNCTIONS = ["awake_share", "ceil", "cold_starts", "cost", "max", "min", "price"];

const calls = {
  ceil: Math.ceil,
  max: Math.max,
  min: Math.min,
  price: (name) => (data.prices[name].find((tier) => tier[2]) ?? [0, null, 0])[2],
  cost: (name, quantity) => {
    let dollars = 0;
    for (const [start, end, price] of data.prices[name])
      if (quantity > start) dollars += (Math.min(quantity, end ?? Infinity) - start) * price;
    return dollars;
  },
  awake_share: (rate, seconds, idle) => -Math.expm1(-rate * (seconds + idle)),
  cold_starts: (rate, seconds, keepWarm) => {
    const load = rate * seconds;
    if (!(load <= 1e9)) throw new RangeError("too many functions would be busy at once");
    const usual = Math.floor(load);
    const far = Math.ceil(12 * (Math.sqrt(load) + 1));
    const weights = [1];
    for (let busy = usual; busy > Math.max(0, usual - far); busy--) weights.push((weights.at(-1) * busy) / load);
    weights.reverse();
    for (let busy = usual + 1; busy < usual + far; busy++) weights.push((weights.at(-1) * load) / busy);
    const whole = weights.reduce((total, weight) => total + weight, 0);
    let fewer = 0, cold = 0;
    for (const weight of weights) {
      fewer += weight;
      if (weight) cold += ((rate * weight) / whole) * Math.exp(((-rate * weight) / fewer) * keepWarm);
    }
    return cold;
  },
};

const compiled = (entry) => {
  const known = `const {${entry.names.join(",")}} = known; const {${FUNCTIONS.join(",")}} = calls;`;
  return new Function("known", "calls", `${known} return ${entry.formula};`);
};
for (const entry of [...data.derived, ...data.server, ...data.options.flatMap((option) => option.lines)])
  entry.value = compiled(entry);

const quantities = (inputs) => {
  const known = { ...inputs, ...data.constants };
  for (const entry of data.derived) known[entry.name] = entry.value(known, calls);
  return known;
};

const costOf = (option, known) => {
  const all = { ...known };
  if (option.server) {
    Object.assign(all, option.server.speeds);
    all.capacity = data.server.find((entry) => entry.name === option.server.capacity).value(all, calls);
    for (const entry of data.server)
      if (!entry.name.startsWith("capacity")) all[entry.name] = entry.value(all, calls);
  }
  const lines = option.lines.map((line) => line.value(all, calls));
  return { option, lines, monthly: lines.reduce((sum, line) => sum + line, 0), servers: all.servers, capacity: all.capacity };
};

const given = Object.fromEntries(Object.entries(data.inputs).map(([name, input]) => [name, input.value]));
const costs = (inputs) => {
  const known = quantities(inputs);
  return data.options.map((option) => costOf(option, known));
};
window.costs = (inputs) => Object.fromEntries(costs({ ...given, ...inputs }).map((each) => [each.option.name, each.monthly]));

const dollars = (value) =>
  value >= 100 ? "$" + Math.round(value).toLocaleString("en") : value >= 0.01 || value === 0 ? "$" + value.toFixed(2) : "$" + value.toPrecision(2);
const digits = (value) => (value >= 10 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2))));
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const possible = (inputs) => {
  try {
    return inputs.prompt_tokens + inputs.answer_tokens >= 1 && costs(inputs).every((each) => Number.isFinite(each.monthly));
  } catch {
    return false; // more functions than can be computed with
  }
};

const current = { ...given };
const fields = {};
for (const [name, input] of Object.entries(data.inputs)) {
  const logarithmic = input.low > 0 && input.high / input.low > 50;
  const place = (value) => (logarithmic ? Math.log(value / input.low) / Math.log(input.high / input.low) : (value - input.low) / (input.high - input.low));
  const range = element("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": `${input.label}, slider` });
  const number = element("input", { type: "number", step: "any", min: input.least, max: input.most, "aria-label": input.label });
  const show = (value) => {
    range.value = place(value);
    number.value = Number(value.toPrecision(6));
  };
  const change = (value) => {
    const wanted = { ...current, [name]: value };
    if (value >= input.least && value <= input.most && possible(wanted)) current[name] = value;
  };
  range.addEventListener("input", () => {
    const part = Number(range.value);
    const raw = logarithmic ? input.low * (input.high / input.low) ** part : input.low + (input.high - input.low) * part;
    change(Number(raw.toPrecision(3)));
    number.value = current[name];
    draw();
  });
  number.addEventListener("change", () => {
    if (number.value !== "") change(Number(number.value));
    show(current[name]);
    draw();
  });
  fields[name] = show;
  show(input.value);
  document.getElementById("inputs").append(element("label", {}, element("span", {}, input.label), range, number));
}
document.getElementById("reset").addEventListener("click", () => {
  Object.assign(current, given);
  for (const [name, show] of Object.entries(fields)) show(current[name]);
  draw();
});

const COLOURS = ["#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d", "#999999"];
const LOW = -3, HIGH = 1, WIDTH = 760, HEIGHT = 400, LEFT = 92, RIGHT = 10, TOP = 10, BOTTOM = 54;

const chart = () => {
  const svg = document.getElementById("chart");
  const known = quantities(current);
  const daySeconds = known.month_seconds / known.month_days;
  const shown = data.chart.map((name) => data.options.find((option) => option.name === name));
  const points = Array.from({ length: 121 }, (_, number) => LOW + ((HIGH - LOW) * number) / 120);
  const lines = shown.map(() => []);
  for (const point of points) {
    const there = quantities({ ...current, requests_per_day: (10 ** point * daySeconds) / known.seconds });
    shown.forEach((option, number) => lines[number].push(costOf(option, there).monthly));
  }
  const top = Math.max(1, Math.ceil(Math.log10(Math.max(...lines.flat()))));
  const x = (point) => LEFT + ((point - LOW) / (HIGH - LOW)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.max(0, Math.log10(Math.max(value, 1))) / top) * (HEIGHT - TOP - BOTTOM);
  const parts = [`<rect class="frame" x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT - RIGHT}" height="${HEIGHT - TOP - BOTTOM}"/>`];
  for (let power = 0; power <= top; power++)
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(10 ** power)}" y2="${y(10 ** power)}"/><text x="${LEFT - 6}" y="${y(10 ** power) + 4}" text-anchor="end">$${(10 ** power).toLocaleString("en")}</text>`);
  for (let power = LOW; power <= HIGH; power++)
    parts.push(`<line class="grid" x1="${x(power)}" x2="${x(power)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${x(power)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="${{ [LOW]: "start", [HIGH]: "end" }[power] ?? "middle"}">${Number((100 * 10 ** power).toPrecision(3)).toLocaleString("en")}%</text>`);
  parts.push(`<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 6}" text-anchor="middle">utilization: time that one function would be busy</text>`);
  const here = Math.log10(known.load);
  if (here >= LOW && here <= HIGH) parts.push(`<line class="here" x1="${x(here)}" x2="${x(here)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`);
  lines.forEach((line, number) => {
    const path = line.map((value, index) => `${x(points[index]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    parts.push(`<polyline class="${shown[number].name === "lambda" ? "ours" : ""}" stroke="${COLOURS[number % COLOURS.length]}" points="${path}"/>`);
  });
  svg.innerHTML = parts.join("");
  document.getElementById("legend").replaceChildren(
    ...shown.map((option, number) => element("span", {}, element("i", { style: `background:${COLOURS[number % COLOURS.length]}` }), option.title)),
  );
};

const draw = () => {
  const known = quantities(current);
  const tokens = known.requests * (known.input_tokens + known.answer_tokens);
  const found = costs(current).sort((one, other) => one.monthly - other.monthly);
  const ours = found.find((each) => each.option.name === "lambda");
  const equal = found.filter((each) => ["server", "scaled"].includes(each.option.kind) && each.capacity >= 0.9 && !each.option.name.endsWith(".spot"));
  const best = equal[0];
  const ratio = best && best.monthly / ours.monthly;
  const compared = ratio >= 1 ? `${digits(ratio)} times as much` : `${digits(100 * ratio)}% of that`;
  const rival = best ? `the cheapest server of its speed or above, ${best.option.title}, costs ${compared} (${dollars(best.monthly)})` : "no server is as fast";
  document.getElementById("now").textContent =
    `Lambda costs ${dollars(ours.monthly)} a month, busy ${digits(100 * known.load)}% of one function's time; ${rival}.`;
  const open = new Set([...document.querySelectorAll("#options details[open]")].map((each) => each.dataset.name));
  document.querySelector("#options tbody").replaceChildren(
    ...found.map((each) => {
      const list = element("dl");
      each.option.lines.forEach((line, number) =>
        list.append(element("dt", {}, line.what), element("dd", { class: "number" }, dollars(each.lines[number])), element("dd", {}, element("code", {}, line.formula))));
      const details = element("details", { "data-name": each.option.name }, element("summary", {}, each.option.title), list);
      if (each.option.note) details.append(element("p", { class: "faint" }, each.option.note));
      details.open = open.has(each.option.name);
      const kind = each.option.name === "lambda" ? "ours" : each.option.own ? "" : "other";
      return element("tr", { class: kind },
        element("td", {}, details),
        element("td", { class: "number" }, dollars(each.monthly)),
        element("td", { class: "number" }, tokens ? dollars((each.monthly / tokens) * 1e6) : ""),
        element("td", { class: "number" }, each.servers === undefined ? "" : String(each.servers)));
    }),
  );
  chart();
};
draw();
