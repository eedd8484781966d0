// Draws the graph that Python has laid out. Streamlit calls the default export again whenever the data changes; what
// must survive (pan, zoom, the elements) is kept for the mounted element in a WeakMap. Text goes through textContent.

const SVG = "http://www.w3.org/2000/svg";
const FAR = 0.55; // below this scale the small print cannot be read: names only
const SMALLEST = 0.08;
const LARGEST = 2.2;
const kept = new WeakMap();

const ICONS = {
  table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M6.5 6.5v6",
  view: "M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8zM8 6.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6z",
  incremental: "M2.5 11.5h11v2h-11zM2.5 7h11v2h-11zM8 1.8v3M6.5 3.3h3",
  python: "M5.5 4 2 8l3.5 4M10.500 4 14 8l-3.500 4M9 3 7 13",
  seed: "M8 14V8M8 8.500C8 5.500 6 4 2.800 4 2.800 7 4.800 8.500 8 8.500zM8 7c0-2.600 1.800-4.200 5.200-4.200C13.200 5.600 11.200 7 8 7z",
  snapshot: "M2 5h3l1.200-1.800h3.600L11 5h3v8H2zM8 6.800a2.200 2.200 0 1 1 0 4.400 2.200 2.200 0 0 1 0-4.400z",
  source: "M3 4c0-1.200 2.200-2 5-2s5 .800 5 2-2.200 2-5 2-5-.800-5-2zM3 4v8c0 1.200 2.200 2 5 2s5-.800 5-2V4M3 8c0 1.200 2.200 2 5 2s5-.800 5-2",
  action: "M9 1.800 3.500 9H8l-1 5.200L12.500 7H8z",
  consumer: "M2.500 13.500h11M4.500 11V8M8 11V3.500M11.500 11V6",
  group: "M2.500 5.500h11v8h-11zM4 3.500h8M5.500 1.500h5",
};

const SIGNS = {
  check: "M-3.600 0.200-1.200 2.800 3.800-2.800",
  clock: "M0-4.200a4.200 4.200 0 1 1 0 8.400a4.200 4.200 0 1 1 0-8.400M0-2.200V0.300L1.800 1.400",
  cross: "M-3-3 3 3M3-3-3 3",
  question: "M-2.400-1.800C-2.400-4.800 2.600-4.600 2.400-1.800 2.300-.200 0 0 0 1.600M0 3.900V4",
  ring: "M0-3.600a3.600 3.600 0 1 1 0 7.200a3.600 3.600 0 1 1 0-7.200",
  turn: "M3.700-1.600A4 4 0 1 0 4 .800M4-4v2.600H1.400",
  link: "M-1 1-3 3M1-1 3-3M-3.800 0-4.400 .600a2.200 2.200 0 0 0 3.200 3.200L0 3.200M0-3.200 1-4a2.200 2.200 0 0 1 3.200 3.200L3.200 0",
  bar: "M-3 0H3",
  warn: "M0-3.800 4 3.400H-4zM0-1.300V.900M0 2.300V2.400",
};

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

function text(parent, className, x, y, content) {
  const made = element("text", { class: className, x, y }, parent);
  made.textContent = content;
  return made;
}

// Shortened to the width with an ellipsis inside: ends of names tell as much as their beginnings.
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();
function fitted(content, font, width) {
  const name = `${font}|${width}|${content}`;
  if (widths.has(name)) return widths.get(name);
  pen.font = font;
  let shown = content;
  if (pen.measureText(content).width > width) {
    let low = 1;
    let high = content.length;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (pen.measureText(shorten(content, middle)).width <= width) low = middle;
      else high = middle - 1;
    }
    shown = shorten(content, low);
  }
  widths.set(name, shown);
  return shown;
}
function shorten(content, length) {
  const tail = Math.floor(length * 0.4);
  return `${content.slice(0, length - tail)}…${tail ? content.slice(-tail) : ""}`;
}

function linePath(from, to, points, [width, height]) {
  const start = [from.x + width, from.y + height / 2];
  const end = [to.x - 3, to.y + height / 2];
  const stops = [start];
  for (let at = 0; at < points.length; at += 2) stops.push([points[at], points[at + 1]]);
  stops.push(end);
  let path = `M${start[0]} ${start[1]}`;
  if (end[0] < start[0] && stops.length === 2) return backwards(start, [to.x - 3, end[1]], path);
  for (let at = 1; at < stops.length; at += 1) {
    const [ax, ay] = stops[at - 1];
    const [bx, by] = stops[at];
    if (Math.abs(ay - by) < 0.5) path += `L${bx} ${by}`;
    else {
      const reach = Math.max(24, (bx - ax) * 0.5);
      path += `C${ax + reach} ${ay} ${bx - reach} ${by} ${bx} ${by}`;
    }
  }
  return path;
}
function backwards([ax, ay], [bx, by], path) {
  const lift = Math.max(60, Math.abs(ay - by) / 2);
  return `${path}C${ax + 90} ${ay - lift} ${bx - 90} ${by - lift} ${bx} ${by}`;
}

function drawNode(view, node, at) {
  const [width, height] = view.data.card;
  const classes = ["node", node.tone, node.icon, `is-${node.word.split(" ").pop()}`];
  if (node.focus) classes.push("focus");
  if (node.outside) classes.push("outside");
  const group = element("g", {
    class: classes.join(" "),
    transform: `translate(${node.x} ${node.y})`,
    tabindex: -1,
    role: "button",
    "aria-label": node.hint,
    "data-testid": `node-${node.id}`,
    "data-at": at,
  });
  element("title", {}, group).textContent = node.hint;
  if (node.icon === "group") element("rect", { class: "behind", x: 5, y: 5, width, height, rx: 9 }, group);
  element("rect", { class: "card", width, height, rx: 9 }, group);
  element("path", { class: "stripe", d: `M9 0.500H7.500A7 7 0 0 0 .500 7.500V${height - 7.5}a7 7 0 0 0 7 7H9z` }, group);
  element("rect", { class: "tile", x: 10, y: 12, width: 34, height: 34, rx: 8 }, group);
  element("path", { class: "icon", d: ICONS[node.icon] || ICONS.table, transform: "translate(17.500 19.500) scale(1.190)" }, group);
  const family = view.family;
  text(group, "title", 53, 25, fitted(node.title, `600 14.5px ${family}`, width - 63));
  text(group, "far", 19, height / 2 + 6.5, fitted(node.title, `600 20px ${family}`, width - 56));
  text(group, "word", width - 11, 43.5, node.word);
  pen.font = `600 12px ${family}`;
  const wordWidth = pen.measureText(node.word).width;
  const sign = element("g", { class: "near", transform: `translate(${width - 11 - wordWidth - 10} 39.5)` }, group);
  element("path", { class: "sign", d: SIGNS[node.glyph] || SIGNS.ring }, sign);
  const far = element("g", { class: "far", transform: `translate(${width - 20} ${height / 2}) scale(1.55)` }, group);
  element("path", { class: "sign", d: SIGNS[node.glyph] || SIGNS.ring }, far);
  const small = `400 12px ${family}`;
  const room = width - 53 - 11 - wordWidth - 24;
  pen.font = small;
  const fits = pen.measureText(node.subtitle).width <= room;
  text(group, "subtitle", 53, 43.5, fitted(fits ? node.subtitle : node.subtitle.split(" · ")[0], small, room));
  return group;
}

function draw(view) {
  const { data, root } = view;
  view.family = getComputedStyle(root).fontFamily;
  const edges = document.createDocumentFragment();
  const nodes = document.createDocumentFragment();
  view.up = data.nodes.map(() => []);
  view.down = data.nodes.map(() => []);
  view.edges = data.edges.map(([from, to, points], at) => {
    view.down[from].push([to, at]);
    view.up[to].push([from, at]);
    const d = linePath(data.nodes[from], data.nodes[to], points, data.card);
    const line = element("path", { class: "edge", d, "marker-end": "url(#tip)" });
    edges.append(line);
    return line;
  });
  view.nodes = data.nodes.map((node, at) => {
    const made = drawNode(view, node, at);
    nodes.append(made);
    return made;
  });
  view.edgeLayer.replaceChildren(edges);
  view.nodeLayer.replaceChildren(nodes);
}

// Everything upstream and downstream of a card, with the lines between.
function reach(view, start) {
  const cards = new Set([start]);
  const lines = new Set();
  for (const neighbours of [view.up, view.down]) {
    const queue = [start];
    const seen = new Set(queue);
    while (queue.length) {
      for (const [other, line] of neighbours[queue.pop()]) {
        lines.add(line);
        if (seen.has(other)) continue;
        seen.add(other);
        cards.add(other);
        queue.push(other);
      }
    }
  }
  return { cards, lines };
}

function trace(view, at) {
  if (view.traced === at) return;
  for (const lit of view.lit) lit.classList.remove("lit");
  view.lit = [];
  view.traced = at;
  view.root.classList.toggle("tracing", at !== null);
  if (at === null) return;
  const { cards, lines } = reach(view, at);
  view.lit = [...[...cards].map((card) => view.nodes[card]), ...[...lines].map((line) => view.edges[line])];
  for (const lit of view.lit) lit.classList.add("lit");
}

function select(view, id) {
  view.selected = id;
  view.data.nodes.forEach((node, at) => {
    const chosen = node.id === id;
    view.nodes[at].classList.toggle("selected", chosen);
    view.nodes[at].setAttribute("aria-pressed", String(chosen));
  });
  const stop = view.data.nodes.findIndex((node) => node.id === id);
  setTabStop(view, stop >= 0 ? stop : 0);
}

// One tab stop for the whole graph; arrows move inside (left and right along the lines, up and down in the column).
function setTabStop(view, at) {
  if (view.stop !== undefined) view.nodes[view.stop]?.setAttribute("tabindex", -1);
  view.stop = at;
  view.nodes[at]?.setAttribute("tabindex", 0);
}

function neighbour(view, at, key) {
  const here = view.data.nodes[at];
  const nearest = (candidates) =>
    candidates.sort((a, b) => Math.abs(view.data.nodes[a].y - here.y) - Math.abs(view.data.nodes[b].y - here.y))[0];
  if (key === "ArrowRight") return nearest(view.down[at].map(([other]) => other));
  if (key === "ArrowLeft") return nearest(view.up[at].map(([other]) => other));
  const sign = key === "ArrowDown" ? 1 : -1;
  const column = view.data.nodes.map((_, other) => other).filter((other) => {
    const node = view.data.nodes[other];
    return node.x === here.x && (node.y - here.y) * sign > 0;
  });
  return nearest(column);
}

function move(view, { x = view.x, y = view.y, scale = view.scale }) {
  Object.assign(view, { x, y, scale });
  view.scene.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  view.root.classList.toggle("far", scale < FAR);
}

function zoom(view, factor, px = view.width / 2, py = view.height / 2) {
  const scale = Math.min(LARGEST, Math.max(SMALLEST, view.scale * factor));
  const ratio = scale / view.scale;
  move(view, { x: px - (px - view.x) * ratio, y: py - (py - view.y) * ratio, scale });
}

const MARGIN = { top: 58, side: 26, bottom: 38 };
function fit(view, { readable = false } = {}) {
  const [width, height] = view.data.size;
  const roomX = view.width - 2 * MARGIN.side;
  const roomY = view.height - MARGIN.top - MARGIN.bottom;
  let scale = Math.max(SMALLEST, Math.min(1, roomX / width, roomY / height));
  if (readable) scale = Math.max(scale, 0.34);
  const slackX = roomX - width * scale;
  const slackY = roomY - height * scale;
  move(view, { x: MARGIN.side + Math.max(0, slackX / 2), y: MARGIN.top + Math.max(0, slackY / 2), scale });
  if (slackX < 0 || slackY < 0) reveal(view, view.data.nodes.findIndex((node) => node.id === view.selected || node.focus));
}

function reveal(view, at) {
  if (at === undefined || at < 0) return;
  const node = view.data.nodes[at];
  const [width, height] = view.data.card;
  const left = view.x + node.x * view.scale;
  const top = view.y + node.y * view.scale;
  const outside = left < 10 || top < 50 || left + width * view.scale > view.width - 10 || top + height * view.scale > view.height - 10;
  if (!outside) return;
  move(view, {
    x: view.width / 2 - (node.x + width / 2) * view.scale,
    y: view.height / 2 - (node.y + height / 2) * view.scale,
  });
}

function find(view, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  view.root.classList.toggle("finding", words.length > 0);
  view.matches = [];
  view.data.nodes.forEach((node, at) => {
    const name = `${node.id} ${node.title} ${node.subtitle} ${node.word}`.toLowerCase();
    const hit = words.length > 0 && words.every((word) => name.includes(word));
    view.nodes[at].classList.toggle("match", hit);
    if (hit) view.matches.push(at);
  });
  view.found.textContent = words.length ? `${view.matches.length}` : "";
  if (view.matches.length) reveal(view, view.matches[0]);
}

function listen(view) {
  const { svg, root, signal } = view;
  const nodeAt = (event) => {
    const node = event.target.closest?.(".node");
    return node ? Number(node.dataset.at) : null;
  };
  const on = (target, name, handler, options = {}) => target.addEventListener(name, handler, { signal, ...options });

  on(svg, "wheel", (event) => {
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(view, Math.exp(-event.deltaY * lines * 0.0016), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  let drag = null;
  on(svg, "pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, y: event.clientY, fromX: view.x, fromY: view.y, moved: false };
  });
  on(window, "pointermove", (event) => {
    if (!drag) return;
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    drag.moved = true;
    svg.classList.add("grabbed");
    move(view, { x: drag.fromX + dx, y: drag.fromY + dy });
  });
  let dragged = false;
  on(window, "pointerup", () => {
    dragged = Boolean(drag?.moved);
    drag = null;
    svg.classList.remove("grabbed");
  });

  on(svg, "click", (event) => {
    const at = nodeAt(event);
    if (at === null || dragged) return;
    choose(view, at);
  });
  on(svg, "dblclick", (event) => {
    if (nodeAt(event) === null) fit(view);
  });
  on(svg, "pointerover", (event) => { if (!drag) trace(view, nodeAt(event)); });
  on(svg, "pointerleave", () => trace(view, null));
  on(svg, "focusin", (event) => {
    const at = nodeAt(event);
    if (at === null || !event.target.matches(":focus-visible")) return;
    setTabStop(view, at);
    reveal(view, at);
    trace(view, at);
  });
  on(svg, "focusout", () => trace(view, null));
  on(svg, "keydown", (event) => {
    const at = nodeAt(event);
    if (at === null) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(view, at);
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = neighbour(view, at, event.key);
      if (next !== undefined) view.nodes[next].focus();
    }
  });
  on(root, "keydown", (event) => {
    if (event.target.matches("input")) return;
    const steps = { "+": () => zoom(view, 1.25), "-": () => zoom(view, 0.8), 0: () => fit(view) };
    steps[event.key]?.();
  });
  on(root.querySelector(".tools"), "click", (event) => {
    const wish = event.target.closest("button")?.dataset.do;
    ({ in: () => zoom(view, 1.3), out: () => zoom(view, 1 / 1.3), fit: () => fit(view) })[wish]?.();
  });
  on(view.input, "input", () => find(view, view.input.value));
  on(view.input, "keydown", (event) => {
    if (event.key === "Enter" && view.matches.length) choose(view, view.matches[0]);
    if (event.key === "Escape") {
      view.input.value = "";
      find(view, "");
    }
    event.stopPropagation();
  });
}

function choose(view, at) {
  const { id } = view.data.nodes[at];
  select(view, id);
  view.send("click", id);
}

function mount(parent) {
  const root = parent.querySelector(".lineage");
  const end = new AbortController();
  const svg = root.querySelector(".canvas");
  const view = {
    root, svg, end, signal: end.signal,
    scene: root.querySelector(".scene"),
    edgeLayer: root.querySelector(".edges"),
    nodeLayer: root.querySelector(".nodes"),
    input: root.querySelector(".find input"),
    found: root.querySelector(".found"),
    note: root.querySelector(".note"),
    x: 0, y: 0, scale: 1, width: 0, height: 0, lit: [], traced: null, matches: [], touched: false,
  };
  listen(view);
  view.watch = new ResizeObserver(() => resize(view));
  view.watch.observe(root);
  return view;
}

function resize(view) {
  const box = view.root.getBoundingClientRect();
  if (!box.width || (box.width === view.width && box.height === view.height)) return;
  const first = !view.width;
  Object.assign(view, { width: box.width, height: box.height });
  const untouched = view.fitted && view.fitted === `${view.x} ${view.y} ${view.scale}`;
  if (first || untouched) refit(view);
  else reveal(view, view.data.nodes.findIndex((node) => node.id === view.selected));
}

function refit(view) {
  fit(view, { readable: true });
  view.fitted = `${view.x} ${view.y} ${view.scale}`;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (!data) return undefined;
  let view = kept.get(parentElement);
  if (!view) {
    view = mount(parentElement);
    kept.set(parentElement, view);
  }
  view.send = setTriggerValue;
  const before = view.data;
  view.data = data;
  view.note.textContent = data.note || "";
  if (before?.id !== data.id) {
    const held = view.root.getRootNode().activeElement?.dataset?.testid;
    view.traced = null;
    view.lit = [];
    view.stop = undefined;
    view.root.classList.remove("tracing");
    draw(view);
    if (held) view.nodes.find((node) => node.dataset.testid === held)?.focus();
    if (view.input.value) find(view, view.input.value);
  }
  select(view, data.selected);
  if (before?.shape !== data.shape) {
    const box = view.root.getBoundingClientRect();
    Object.assign(view, { width: box.width, height: box.height });
    if (box.width) refit(view);
  }
  return () => {
    view.watch.disconnect();
    view.end.abort();
    kept.delete(parentElement);
  };
}
