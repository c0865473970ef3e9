// The page to explore. Reads the JSON in #data. The function with the name of a part's kind shows that part, in place of
// its picture. Text from data only becomes a text node or a label.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const NBSP = "\u00a0";

  // ---- Elements and words

  function build(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else if (key.startsWith("aria-")) element.setAttribute(key, value);
      else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const h = (name, attributes = {}, ...children) => build(document.createElement(name), attributes, children);
  const s = (name, attributes = {}, ...children) => build(document.createElementNS(SVG, name), attributes, children);

  const number = (value, digits = 0) =>
    value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "\u2212");
  const percent = (share, digits = 1) => number(100 * share, digits) + NBSP + "%";
  const digits = (value) => (Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
  const brief = (value) => (value === null ? "\u2013" : number(value, digits(value)));
  const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;
  const range = (count) => Array.from({ length: count }, (_, k) => k);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const place = (values, value) => values.reduce((best, other, k) => (Math.abs(other - value) < Math.abs(values[best] - value) ? k : best), 0);

  function duration(seconds) {
    const whole = Math.round(seconds);
    const two = (value) => String(value).padStart(2, "0");
    if (whole < 60) return `${whole}${NBSP}s`;
    if (whole < 3600) return `${Math.floor(whole / 60)}${NBSP}min ${two(whole % 60)}${NBSP}s`;
    return `${Math.floor(whole / 3600)}${NBSP}h ${two(Math.floor((whole % 3600) / 60))}${NBSP}min`;
  }

  const pen = document.createElement("canvas").getContext("2d");
  function widest(texts, size) {
    pen.font = `${size}px system-ui, sans-serif`;
    return Math.max(0, ...texts.map((text) => pen.measureText(text).width));
  }

  // ---- Controls

  function choice(label, options, change) {
    const select = h("select", { change: () => change(select.value) }, options.map(([value, text]) => h("option", { value }, text)));
    return { element: h("label", {}, label, select), select };
  }

  function segments(label, options, current, change) {
    const buttons = options.map(([value, text]) =>
      h("button", { type: "button", "aria-pressed": value === current, click: () => set(value) }, text));
    function set(value) {
      buttons.forEach((button, k) => button.setAttribute("aria-pressed", options[k][0] === value));
      change(value);
    }
    return h("div", { class: "field" }, label, h("div", { class: "segments", role: "group", "aria-label": label }, buttons));
  }

  // One Tab stop for all matching elements of a container; arrows, Home and End move between them. Returns a function to
  // call after a change to the elements.
  function rove(container, selector, columns) {
    const items = () => [...container.querySelectorAll(selector)];
    const stop = (chosen) => items().forEach((item) => item.setAttribute("tabindex", item === chosen ? 0 : -1));
    container.addEventListener("focusin", (event) => event.target.closest(selector) && stop(event.target.closest(selector)));
    container.addEventListener("keydown", (event) => {
      const all = items(), k = all.indexOf(event.target.closest(selector));
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -k, End: all.length - 1 - k };
      if (k < 0 || !(event.key in steps)) return;
      event.preventDefault();
      if (all[k + steps[event.key]]) all[k + steps[event.key]].focus();
    });
    return () => stop(items().find((item) => item.getAttribute("tabindex") === "0") || items()[0]);
  }

  function pressable(element, act) {
    element.addEventListener("click", act);
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
  }

  const told = () => h("p", { class: "told", "aria-live": "polite" });

  // Calls draw(width) now and whenever the width of the element changes.
  function fitted(element, draw) {
    let drawn = 0;
    new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (width && width !== drawn) draw((drawn = width));
    }).observe(element);
  }

  // ---- Learning curves

  function ticks(low, high, count) {
    const rough = (high - low) / count || 1;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
    const places = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) found.push([k * step + 0, number(k * step + 0, places)]); // + 0: no minus zero
    return found;
  }

  function between(xs, ys, x) {
    for (let k = 0; k + 1 < xs.length; k += 1) {
      if (xs[k] <= x && x <= xs[k + 1] && ys[k] !== null && ys[k + 1] !== null) {
        return xs[k] === xs[k + 1] ? ys[k] : ys[k] + ((x - xs[k]) / (xs[k + 1] - xs[k])) * (ys[k + 1] - ys[k]);
      }
    }
    return ys[place(xs, x)];
  }

  function middle(line) {
    return line.x.map((_, k) => {
      const values = line.seeds.map((seed) => seed[k]).filter((value) => value !== null);
      return values.length ? sum(values) / values.length : null;
    });
  }

  function spread(line, x) {
    const values = line.seeds.map((seed) => between(line.x, seed, x)).filter((value) => value !== null);
    if (values.length < 2) return "";
    const mean = sum(values) / values.length;
    const deviation = number(Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1)), digits(mean));
    return Number(deviation) ? " \u00b1 " + deviation : "";
  }

  function curves(part, host) {
    const name = part.x === "step" ? "updates" : part.x;
    const last = Math.max(...part.at);
    const panels = part.panels.map((panel) => ({ ...panel, lines: panel.lines.map((line) => ({ ...line, mean: middle(line) })) }));
    const about = told();
    const slider = h("input", { type: "range", min: 0, max: part.at.length - 1, value: part.at.length - 1, input: () => show(Number(slider.value)) });
    const painters = [];
    let shown = part.at.length - 1;

    function chart(panel) {
      const own = panel.lines, frame = h("div"), painter = painters.push(null) - 1;
      const element = h("div", { class: "chart" }, h("h4", {}, panel.title + (panel.unit ? `, ${panel.unit}` : "")), frame);
      const high = panel.small ? 64 : 230, lookOf = (k) => (k === own.length - 1 ? "first" : "second"); // validation is the last
      const values = own.flatMap((line) => line.seeds.flat()).filter((value) => value !== null);
      const least = panel.small ? 0 : Math.min(...values), most = Math.max(...values), pad = (most - least) * 0.04 || 0.5;
      const low = panel.small ? 0 : least - pad, top = most + pad;
      fitted(frame, (width) => {
        const left = 46, right = 78, foot = 20;
        const x = (value) => left + (value / last) * (width - left - right);
        const y = (value) => 6 + (1 - (value - low) / (top - low)) * (high - foot - 6);
        const svg = s("svg", { width, height: high, role: "img", "aria-label": describe(panel) });
        for (const [value, text] of panel.small ? [most, 0].map((value) => [value, brief(value)]) : ticks(low, top, 5)) {
          svg.append(s("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
          svg.append(s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
        }
        for (const [value, text] of ticks(0, last, Math.max(2, Math.min(6, width / 90)))) svg.append(s("text", { x: x(value), y: high - 2, "text-anchor": "middle" }, text));
        const path = (xs, ys) => xs.map((value, k) => (ys[k] === null ? "" : `${k && ys[k - 1] !== null ? "L" : "M"}${x(value).toFixed(1)} ${y(ys[k]).toFixed(1)}`)).join("");
        const ends = [];
        own.forEach((line, k) => {
          const look = lookOf(k);
          if (line.seeds.length > 1) line.seeds.forEach((seed) => svg.append(s("path", { class: `curve seed ${look}`, d: path(line.x, seed) })));
          svg.append(s("path", { class: `curve ${look}`, d: path(line.x, line.mean) }));
          if (own.length > 1) ends.push({ look, name: line.name, y: y(line.mean[line.mean.length - 1]) + 4 });
        });
        ends.sort((a, b) => a.y - b.y);
        ends.forEach((end, k) => {
          if (k && end.y - ends[k - 1].y < 15) end.y = ends[k - 1].y + 15;
          svg.append(s("text", { class: end.look, x: width - right + 8, y: end.y }, end.name));
        });
        const cursor = s("g");
        svg.append(cursor);
        const paint = () => {
          const at = part.at[shown];
          cursor.replaceChildren(s("line", { class: "cursor", x1: x(at), x2: x(at), y1: 4, y2: high - foot }));
          own.forEach((line, k) => {
            const value = between(line.x, line.mean, at);
            if (value !== null) cursor.append(s("circle", { class: lookOf(k), cx: x(at), cy: y(value), r: 4 }));
          });
        };
        painters[painter] = paint;
        paint();
        svg.addEventListener("pointermove", (event) => {
          const across = ((event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right)) * last;
          show(place(part.at, across));
        });
        frame.replaceChildren(svg);
      });
      return element;
    }

    function describe(panel) {
      const ends = panel.lines.map((line) => `${line.name} ${brief(line.mean[line.mean.length - 1])}`);
      return `${panel.title}${panel.unit ? ` (${panel.unit})` : ""} over ${name}; at the end: ${ends.join(", ")}.`;
    }

    function show(at) {
      shown = at;
      const x = part.at[at];
      const said = panels.map((panel) => {
        const values = panel.lines.map((line) => `${panel.lines.length > 1 ? line.name + " " : ""}${brief(between(line.x, line.mean, x))}${spread(line, x)}`);
        return `${panel.title} ${values.join(", ")}${panel.unit ? NBSP + panel.unit : ""}`;
      });
      about.replaceChildren(h("b", {}, `${name} ${brief(x)}, ${duration(part.seconds[at])}: `), said.join("; ") + ".");
      slider.value = at;
      slider.setAttribute("aria-valuetext", about.textContent);
      painters.forEach((paint) => paint && paint());
    }

    for (const small of [false, true]) host.append(h("div", { class: "charts" }, panels.filter((panel) => panel.small === small).map(chart)));
    const seeds = part.seeds > 1 ? [h("p", { class: "legend" }, `Bold: mean of ${part.seeds} seeds; thin: each seed.`)] : [];
    host.append(h("label", { class: "field" }, `Validation, by ${name}`, slider), about, ...seeds);
    show(shown);
  }

  // ---- Confusion matrix, and the images behind it

  const GLAZE = [[255, 247, 188], [254, 196, 79], [236, 112, 20], [204, 76, 2]]; // as in the Grad-CAM pictures
  const STEP = 60; // images, and sentences, shown at once

  function glaze(value) {
    const at = value * (GLAZE.length - 1), k = Math.min(GLAZE.length - 2, Math.floor(at));
    return GLAZE[k].map((low, channel) => low + (at - k) * (GLAZE[k + 1][channel] - low));
  }

  function heat(values, wide, high) {
    const canvas = h("canvas", { width: wide, height: high });
    const context = canvas.getContext("2d"), picture = context.createImageData(wide, high);
    values.forEach((value, k) => picture.data.set([...glaze(value / 255), Math.min(255, 1.25 * value)], 4 * k));
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  function confusion(part, host) {
    const names = part.classes, counts = part.counts, images = part.images;
    const total = sum(counts.flat());
    const mistakes = range(names.length).flatMap((i) => range(names.length).filter((j) => j !== i).map((j) => [counts[i][j] / Math.max(1, sum(counts[i])), i, j]));
    const most = mistakes.reduce((best, other) => (other[0] > best[0] ? other : best), mistakes[0] || [0, 0, 0]);
    const cells = new Map();
    const label = (i, j) => (i === j ? `${names[i]}, right` : `${names[i]} taken for ${names[j]}`);

    const rows = part.order.map((i) => h("tr", {}, h("th", { scope: "row", title: names[i] }, names[i]), part.order.map((j) => {
      const count = counts[i][j], share = count / Math.max(1, sum(counts[i]));
      const text = i === j ? String(Math.round(100 * share)) : count ? String(count) : "\u00b7";
      const button = h("button", {
        type: "button", class: i === j ? "right" : count ? "" : "none", "aria-pressed": false,
        "aria-label": `${label(i, j)}: ${plural(count, "image")}, ${percent(share, i === j ? 0 : 1)} of ${names[i]}`, click: () => filter(i, j),
      }, text);
      if (i !== j) button.style.setProperty("--share", most[0] ? share / most[0] : 0);
      cells.set(`${i} ${j}`, button);
      return h("td", {}, button);
    })));
    const table = h("table", { class: "matrix" }, h("caption", {}, "Rows: true class. Columns: predicted class. Numbers of images; on the diagonal, recall in per cent."),
      h("thead", {}, h("tr", {}, h("td"), part.order.map((j) => h("th", { scope: "col", title: names[j] }, h("span", {}, names[j]))))), h("tbody", {}, rows));
    rove(table, "button", () => names.length)();
    const beside = h("div");
    host.append(h("div", { class: "confusion" }, h("div", {}, table), beside));

    const every = [["", "any"], ...part.order.map((k) => [k, names[k]])];
    const truth = choice("True class", every, () => filter(...read())), guess = choice("Predicted class", every, () => filter(...read()));
    const read = () => [truth, guess].map((one) => (one.select.value === "" ? null : Number(one.select.value)));
    const layers = part.maps.layers.slice().reverse();
    const layer = choice("Layer", layers.map((one, k) => [k, `${one.name}, ${one.high}\u00d7${one.wide}`]), () => paintAll());
    const whose = choice("Evidence for", [["predicted", "predicted class"], ["true", "true class"]], () => paintAll());
    const strength = h("input", { type: "range", min: 0, max: 100, value: 35, input: () => paintAll() });
    const overlay = h("label", { class: "row" }, "Grad-CAM overlay", strength);
    const about = told(), tiles = h("ul", { class: "tiles" }), more = h("div", { class: "more" });
    const closer = h("div", { class: "closer", role: "group", "aria-label": "The image chosen" });
    beside.append(h("div", { class: "controls" }, truth.element, guess.element), h("div", { class: "controls" }, overlay, layer.element, whose.element), closer, about, tiles, more);

    const maps = layers.map((one) => ({ ...one, predicted: bytes(one.predicted), true: bytes(one.true) }));
    const mapped = new Map(part.maps.of.map((k, row) => [k, row]));
    const made = new Map();
    const sprite = new Image();
    const painted = new Map(); // image: canvas, of the tiles; "closer": [image, canvas]
    let chosen = 0, found = [];
    const stop = rove(tiles, "button", () => getComputedStyle(tiles).gridTemplateColumns.split(" ").length);

    function map(k) {
      const row = mapped.get(k), of = whose.select.value, depth = Number(layer.select.value);
      if (row === undefined) return null;
      const key = `${row} ${of} ${depth}`, { wide, high } = maps[depth], size = wide * high;
      if (!made.has(key)) made.set(key, heat(maps[depth][of].subarray(row * size, (row + 1) * size), wide, high));
      return made.get(key);
    }
    function paint(canvas, k) {
      const context = canvas.getContext("2d"), side = canvas.width, own = sprite.naturalWidth / images.columns;
      context.imageSmoothingEnabled = false;
      context.globalAlpha = 1;
      context.drawImage(sprite, (k % images.columns) * own, Math.floor(k / images.columns) * own, own, own, 0, 0, side, side);
      const laid = map(k);
      if (!laid) return;
      context.imageSmoothingEnabled = true;
      context.globalAlpha = strength.value / 100;
      context.drawImage(laid, 0, 0, side, side);
    }
    function paintAll() {
      strength.setAttribute("aria-valuetext", `${strength.value} per cent`);
      if (!sprite.complete || !sprite.naturalWidth) return;
      painted.forEach((canvas, k) => (k === "closer" ? paint(canvas[1], canvas[0]) : paint(canvas, k)));
    }

    const shares = (k) => images.shares.slice(k * names.length, (k + 1) * names.length).map((share) => share / 10000);
    const confidence = (k) => percent(shares(k)[images.predicted[k]]);

    function choose(k) {
      chosen = k;
      tiles.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", Number(button.dataset.image) === k));
      const ranked = shares(k).map((share, j) => [share, j]).sort((a, b) => b[0] - a[0]);
      const kept = ranked.slice(0, 5).concat(ranked.slice(5).filter(([, j]) => j === images.true[k]));
      const right = images.true[k] === images.predicted[k];
      const canvas = h("canvas", { width: 256, height: 256, role: "img", "aria-label": `Test image ${images.index[k]}` });
      const bars = kept.flatMap(([share, j]) => [
        h("dt", { class: j === images.true[k] ? "is-true" : null }, names[j] + (j === images.true[k] ? " (true)" : "")),
        h("dd", {}, h("meter", { min: 0, max: 1, value: share, "aria-label": names[j] })),
        h("dd", {}, percent(share)),
      ]);
      const note = mapped.has(k) ? null : h("p", { class: "meta" }, "This run kept no Grad-CAM map for this image.");
      closer.replaceChildren(canvas, h("div", {}, h("h4", {}, right ? `${names[images.true[k]]}, right` : `${names[images.true[k]]}, taken for ${names[images.predicted[k]]}`),
        h("p", { class: "meta" }, `Test image ${images.index[k]}`), h("dl", { class: "shares" }, bars), note));
      painted.set("closer", [k, canvas]);
      paintAll();
    }

    function filter(i, j) {
      truth.select.value = i === null ? "" : i;
      guess.select.value = j === null ? "" : j;
      cells.forEach((cell, key) => cell.setAttribute("aria-pressed", key === `${i} ${j}`));
      const single = i !== null && j !== null, own = single && i === j;
      found = range(images.index.length).filter((k) =>
        (i === null || images.true[k] === i) && (j === null || images.predicted[k] === j) && (own || images.true[k] !== images.predicted[k]));
      const all = single ? counts[i][j] : sum(range(names.length).flatMap((a) => range(names.length).filter((b) => a !== b && (i === null || a === i) && (j === null || b === j)).map((b) => counts[a][b])));
      const what = single ? label(i, j) : i !== null ? `${names[i]} taken for another class` : j !== null ? `Other classes taken for ${names[j]}` : "All mistakes";
      const kept = found.length < all ? `; the ${number(found.length)} most confident were kept` : found.length > 1 ? "; the most confident first" : "";
      about.replaceChildren(h("b", {}, what), `: ${number(all)} of ${plural(total, "test image")}${kept}.`);
      painted.clear();
      tiles.replaceChildren();
      closer.hidden = !found.length;
      grow(single, STEP);
      if (found.length) choose(found[0]);
    }

    function grow(single, count) {
      const from = tiles.children.length;
      for (const k of found.slice(from, from + count)) {
        const canvas = h("canvas", { width: 96, height: 96 });
        painted.set(k, canvas);
        const said = `${names[images.true[k]]} \u2192 ${names[images.predicted[k]]}`;
        tiles.append(h("li", {}, h("button", {
          type: "button", "data-image": k, "aria-pressed": k === chosen,
          "aria-label": `${confidence(k)} ${said}, test image ${images.index[k]}`,
          click: () => choose(k),
        }, canvas, confidence(k), single ? null : h("br"), single ? null : h("small", {}, said))));
      }
      stop();
      const shown = tiles.children.length, left = found.length - shown;
      const next = h("button", { type: "button", click: () => { grow(single, STEP); tiles.children[shown].firstChild.focus(); } }, `Show ${Math.min(STEP, left)} more of ${number(left)}`);
      more.replaceChildren(...(left > 0 ? [next] : []));
      paintAll();
    }

    sprite.addEventListener("load", paintAll);
    if (images.sprite) sprite.src = images.sprite;
    filter(most[1], most[2]);
  }

  // ---- Calibration

  function reliability(part, host) {
    const charts = part.panels.map((panel, index) => {
      const frame = h("div"), look = index ? "first" : "second"; // as on the printed page: as trained is grey
      const said = `ECE ${percent(panel.ece)}, NLL ${number(panel.nll, 3)} nats, Brier score ${number(panel.brier, 3)}`;
      fitted(frame, (width) => {
        const left = 46, right = 14, high = 270, foot = 74, fullest = Math.max(...panel.rows.map((row) => row.n));
        const x = (share) => left + share * (width - left - right), y = (share) => 8 + (1 - share) * (high - foot - 8);
        const svg = s("svg", { width, height: high, role: "img", "aria-label": `Accuracy against confidence, ${panel.title}: ${said}` });
        for (const share of [0, 0.5, 1]) {
          svg.append(s("line", { class: "axis", x1: left, x2: width - right, y1: y(share), y2: y(share) }));
          svg.append(s("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share, 0)));
          svg.append(s("text", { x: x(share), y: high - foot + 18, "text-anchor": "middle" }, percent(share, 0)));
        }
        svg.append(s("line", { class: "cursor", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
        for (const row of panel.rows) {
          const at = x(row.confidence), [low, top] = row.accuracy_interval;
          svg.append(s("line", { class: `curve ${look} whole`, x1: at, x2: at, y1: y(low), y2: y(top) }), s("circle", { class: look, cx: at, cy: y(row.accuracy), r: 4 }));
          svg.append(s("rect", { class: "bar", x: at - 7, width: 14, y: high - (40 * row.n) / fullest, height: (40 * row.n) / fullest }));
        }
        svg.append(s("text", { x: left - 6, y: high - 4, "text-anchor": "end" }, "images"));
        frame.replaceChildren(svg);
      });
      return h("div", { class: "chart" }, h("h4", {}, panel.title), frame, h("p", { class: "told" }, said));
    });
    host.append(h("div", { class: "charts" }, charts));
    const values = part.panels.map((panel) => h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": panel.title }, h("table", {}, h("caption", {}, panel.title),
      h("thead", {}, h("tr", {}, ["images", "confidence", "accuracy", "95" + NBSP + "% interval"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, panel.rows.map((row) => h("tr", {}, [number(row.n), percent(row.confidence), percent(row.accuracy), row.accuracy_interval.map((end) => percent(end)).join(" to ")].map((text) => h("td", {}, text))))))));
    host.append(h("details", {}, h("summary", {}, "Values of each bin"), values));
  }

  // ---- Attention

  const START = "\u2581"; // sentencepiece's mark of the beginning of a word
  const readable = (piece) => (piece.startsWith(START) ? piece.slice(1) || piece : /^[\p{L}\p{N}]/u.test(piece) ? "##" + piece : piece);
  const shorten = (text) => (text.length > 22 ? text.slice(0, 21) + "\u2026" : text);

  // [{text, pieces}] of the words in a list of pieces, without the marks of begin and end.
  function wordsOf(pieces) {
    const words = [];
    pieces.forEach((piece, k) => {
      if (/^<\/?s>$/.test(piece)) return;
      const continues = !piece.startsWith(START) && /^[\p{L}\p{N}]/u.test(piece) && words.length;
      if (continues) {
        words[words.length - 1].text += piece;
        words[words.length - 1].pieces.push(k);
      } else words.push({ text: piece.startsWith(START) ? piece.slice(1) || piece : piece, pieces: [k] });
    });
    return words;
  }

  function attention(part, host) {
    const KINDS = [["cross", "Cross", "written", "source"], ["encoder_self", "Encoder", "source", "source"], ["decoder_self", "Decoder", "read", "read"]];
    const state = { sentence: 0, kind: "cross", layer: "mean", head: "mean", row: 0 };
    const about = told(), frame = h("div", { class: "attention", role: "group", "aria-label": "Attention weights", tabindex: 0 });
    const aligned = h("div", { class: "attention words", role: "group", "aria-label": "Word alignment", tabindex: 0 });
    const sentence = choice("Sentence", part.sentences.map((one, k) => [k, one.label]), (value) => update({ sentence: Number(value), row: 0 }));
    sentence.element.classList.add("grow");
    const layer = choice("Layer", [], (value) => update({ layer: value })), head = choice("Head", [], (value) => update({ head: value }));
    const kind = segments("Attention", KINDS.map(([key, text]) => [key, text]), "cross", (value) => update({ kind: value, layer: "mean", head: "mean", row: 0 }));
    const weights = new Map();
    const stop = rove(frame, ".row", () => 1), stops = [".read", ".written"].map((side) => rove(aligned, side, () => 1));

    // Weights (rows, columns) of a kind: of one layer and head, or the mean over all.
    function matrix(one, key, depth, which) {
      const [layers, heads] = part.shape[key], [, , down, across] = KINDS.find(([name]) => name === key);
      const rows = one[down].length, columns = one[across].length, id = `${one.index} ${key}`;
      if (!weights.has(id)) weights.set(id, bytes(one[key]));
      const all = weights.get(id);
      const chosen = range(layers).filter((k) => depth === "mean" || k === Number(depth)).flatMap((k) => range(heads).filter((j) => which === "mean" || j === Number(which)).map((j) => k * heads + j));
      return range(rows).map((i) => range(columns).map((j) => sum(chosen.map((k) => all[(k * rows + i) * columns + j])) / chosen.length / 255));
    }

    function update(change) {
      Object.assign(state, change);
      const [layers, heads] = part.shape[state.kind];
      const fill = (one, count, value) => {
        one.select.replaceChildren(h("option", { value: "mean" }, "mean of all"), ...range(count).map((k) => h("option", { value: k }, k + 1)));
        one.select.value = value;
      };
      fill(layer, layers, state.layer);
      fill(head, heads, state.head);
      draw();
      if ("sentence" in change) align();
    }

    function draw() {
      const one = part.sentences[state.sentence], [, , down, across] = KINDS.find(([name]) => name === state.kind);
      const rows = one[down].map(readable), columns = one[across].map(readable), grid = matrix(one, state.kind, state.layer, state.head);
      const side = 22, left = widest(rows.map(shorten), 13) + 16, top = widest(columns.map(shorten), 13) + 14;
      const width = left + side * columns.length + 4, high = top + side * rows.length + 4;
      const svg = s("svg", { width, height: high, viewBox: `0 0 ${width} ${high}`, role: "group", "aria-label": "Rows: queries; columns: keys" });
      svg.append(s("rect", { class: "ground", x: left, y: top, width: side * columns.length, height: side * rows.length }));
      const heads = columns.map((text, j) => s("text", { transform: `translate(${left + side * (j + 0.5) + 4} ${top - 6}) rotate(-90)` }, shorten(text)));
      const lines = rows.map((text, i) => {
        const best = grid[i].map((value, j) => [value, j]).sort((a, b) => b[0] - a[0]).slice(0, 5).filter(([value]) => value >= 0.005);
        const said = best.map(([value, j]) => `${columns[j]} ${percent(value, 0)}`).join(", ");
        const line = s("g", { class: "row", role: "button", "aria-pressed": false, "aria-label": `${text} looks at ${said}` },
          s("rect", { class: "back", x: 1, y: top + side * i + 1, width: left - 4, height: side - 2, rx: 3 }),
          s("text", { x: left - 8, y: top + side * (i + 0.5) + 4.5, "text-anchor": "end" }, shorten(text)),
          grid[i].map((value, j) => s("rect", { class: "cell", x: left + side * j + 0.5, y: top + side * i + 0.5, width: side - 1, height: side - 1, "fill-opacity": value.toFixed(3) })));
        const choose = () => {
          state.row = i;
          lines.forEach((other, k) => { other.classList.toggle("chosen", k === i); other.setAttribute("aria-pressed", k === i); });
          const most = Math.max(...grid[i]);
          heads.forEach((other, j) => other.classList.toggle("lit", most > 0 && grid[i][j] >= most / 2));
          about.replaceChildren(h("b", {}, `\u201c${text}\u201d`), ` looks at ${said}.`);
        };
        line.addEventListener("pointerenter", choose);
        line.addEventListener("focus", choose);
        pressable(line, choose);
        return Object.assign(line, { choose });
      });
      svg.append(...heads, ...lines);
      frame.replaceChildren(svg);
      stop();
      lines[Math.min(state.row, lines.length - 1)].choose();
    }

    // The source words with the highest cross-attention weights for each output word; mean of all layers and heads.
    function align() {
      const one = part.sentences[state.sentence], grid = matrix(one, "cross", "mean", "mean");
      const source = wordsOf(one.source), output = wordsOf(one.written);
      const table = output.map((word) => source.map((other) => sum(word.pieces.map((i) => sum(other.pieces.map((j) => grid[i][j])))) / word.pieces.length));
      const step = 27, left = widest(source.map((word) => shorten(word.text)), 15) + 14, gap = 170;
      const width = left + gap + widest(output.map((word) => shorten(word.text)), 15) + 20, high = step * Math.max(source.length, output.length) + 8;
      const svg = s("svg", { width, height: high, viewBox: `0 0 ${width} ${high}`, role: "group", "aria-label": "Source words on the left, output words on the right" });
      const y = (k) => 8 + step * (k + 0.5), links = [];
      table.forEach((row, i) => {
        const most = Math.max(...row);
        row.forEach((value, j) => {
          if (!most || value < most / 2) return;
          const path = s("path", { class: "link", d: `M${left} ${y(j)}C${left + gap / 2} ${y(j)} ${left + gap / 2} ${y(i)} ${left + gap} ${y(i)}`, "stroke-width": (1 + 4 * value).toFixed(1), opacity: (0.3 + 0.7 * value).toFixed(2) });
          links.push({ i, j, path });
        });
      });
      svg.append(...links.map((link) => link.path));
      const side = (words, of, x, anchor) => words.map((word, k) => {
        const partners = links.filter((link) => link[of] === k).map((link) => (of === "i" ? source[link.j] : output[link.i]).text);
        const element = s("g", { class: of === "i" ? "row written" : "row read", role: "button", "aria-pressed": false, "aria-label": `${word.text}: ${partners.join(", ") || "no word"}` },
          s("rect", { class: "back", x: of === "i" ? x - 5 : 1, y: y(k) - step / 2 + 1, width: (of === "i" ? width - x : left - 8), height: step - 2, rx: 3 }), s("text", { x, y: y(k) + 5, "text-anchor": anchor }, shorten(word.text)));
        const choose = () => {
          links.forEach((link) => link.path.classList.toggle("faded", link[of] !== k));
          buttons.forEach((other) => { other.classList.toggle("chosen", other === element); other.setAttribute("aria-pressed", other === element); });
        };
        element.addEventListener("pointerenter", choose);
        element.addEventListener("focus", choose);
        pressable(element, choose);
        return element;
      });
      const buttons = [];
      const [first, second] = [side(source, "j", left - 10, "end"), side(output, "i", left + gap + 8, "start")];
      buttons.push(...first, ...second);
      const rest = () => { links.forEach((link) => link.path.classList.remove("faded")); buttons.forEach((other) => { other.classList.remove("chosen"); other.setAttribute("aria-pressed", false); }); };
      svg.addEventListener("pointerleave", rest);
      svg.append(...buttons);
      aligned.replaceChildren(svg);
      stops.forEach((side) => side());
    }

    host.append(h("div", { class: "controls" }, sentence.element), h("div", { class: "controls" }, kind, layer.element, head.element), 
      h("div", { class: "pair" }, h("div", {}, frame, about), h("div", {}, h("h4", {}, "Word alignment"),
        h("p", { class: "meta" }, "Each output word (right) and the source words with its highest cross-attention weights, the mean of all layers and heads."), aligned)));
    update({ sentence: 0 });
  }

  // ---- Sentences

  // For each word of two lists, whether it is in their longest common subsequence.
  function common(first, second) {
    const length = range(first.length + 1).map(() => new Uint16Array(second.length + 1));
    for (let i = first.length - 1; i >= 0; i -= 1) {
      for (let j = second.length - 1; j >= 0; j -= 1) length[i][j] = first[i] === second[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
    const found = [first.map(() => false), second.map(() => false)];
    for (let i = 0, j = 0; i < first.length && j < second.length;) {
      if (first[i] === second[j]) { found[0][i] = found[1][j] = true; i += 1; j += 1; } else if (length[i + 1][j] >= length[i][j + 1]) i += 1;
      else j += 1;
    }
    return found;
  }

  // Words and punctuation marks, each with the space before it.
  const WORD = /(\s*)([\p{L}\p{N}]+(?:['\u2019-][\p{L}\p{N}]+)*|\S)/gu;
  const split = (text) => [...text.matchAll(WORD)];
  const marked = (words, kept, look) => words.flatMap(([, space, word], k) => [space, kept[k] ? word : h("mark", { class: look }, word)]);

  function sentences(part, host) {
    const all = part.rows.map(([source, reference, output, score], index) => ({
      index, source, reference, output, score, length: source.split(/\s+/).filter(Boolean).length,
      text: [source, reference, output].join("\n").normalize("NFC").toLowerCase(),
    }));
    const longest = Math.max(0, ...all.map((row) => row.length));
    const ORDERS = { index: "Order of the test set", "index-": "Order of the test set, backwards", score: "chrF2, lowest first", "score-": "chrF2, highest first", length: "Shortest source first", "length-": "Longest source first" };
    const search = h("input", { type: "search", input: () => show(), autocomplete: "off", spellcheck: "false" });
    const least = h("input", { type: "number", min: 0, max: longest, value: 0, input: () => show() });
    const most = h("input", { type: "number", min: 0, max: longest, value: longest, input: () => show() });
    const order = choice("Sort", Object.entries(ORDERS), () => show());
    const about = told(), body = h("tbody"), more = h("div", { class: "more" });
    const sortable = { index: "No.", score: "chrF2", length: "Words" };
    const head = Object.entries(sortable).map(([key, text]) => h("th", { scope: "col", "data-key": key }, h("button", { type: "button", click: () => { order.select.value = order.select.value === key ? key + "-" : key; show(); } }, text)));
    head.push(...["Source", "Reference", "Output"].map((text) => h("th", { scope: "col" }, text)));
    host.append(h("div", { class: "controls" }, h("label", { class: "grow" }, "Search in source, reference and output", search), order.element, h("label", {}, "Words, at least", least), h("label", {}, "at most", most)),
      h("p", { class: "legend" }, h("span", {}, h("mark", {}, "word"), " not in the reference"), h("span", {}, h("mark", { class: "missing" }, "word"), " not in the output")), about,
      h("div", { class: "scroll sentences", tabindex: 0, role: "group", "aria-label": "Sentences" }, h("table", {}, h("thead", {}, h("tr", {}, head)), body)), more);
    let found = [];

    function line(row) {
      const reference = split(row.reference), output = split(row.output);
      const [inReference, inOutput] = common(reference.map((word) => word[2]), output.map((word) => word[2]));
      const cell = (label, attributes, ...children) => h("td", { "data-label": label, ...attributes }, ...children);
      return h("tr", {}, cell("No.", { class: "number" }, number(row.index + 1)), cell("chrF2", { class: "number" }, number(row.score, 1)), cell("Words", { class: "number" }, row.length),
        cell("Source", { lang: part.src }, row.source), cell("Reference", { lang: part.tgt }, marked(reference, inReference, "missing")), cell("Output", { lang: part.tgt }, marked(output, inOutput, null)));
    }

    function show() {
      const wanted = search.value.normalize("NFC").toLowerCase(), key = order.select.value.replace("-", ""), sign = order.select.value.endsWith("-") ? -1 : 1;
      const low = Number(least.value || 0), high = most.value === "" ? longest : Number(most.value);
      found = all.filter((row) => row.text.includes(wanted) && low <= row.length && row.length <= high);
      found.sort((a, b) => sign * (a[key] - b[key]) || a.index - b.index);
      head.forEach((one) => { if (one.dataset.key === key) one.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending"); else one.removeAttribute("aria-sort"); });
      body.replaceChildren();
      grow(STEP);
    }

    function grow(count) {
      const from = body.children.length;
      body.append(...found.slice(from, from + count).map(line));
      const left = found.length - body.children.length;
      about.textContent = found.length ? `${plural(found.length, "sentence")} of ${number(all.length)}, ${number(body.children.length)} shown.` : "No sentence matches.";
      const some = h("button", { type: "button", click: () => grow(STEP) }, `Show ${Math.min(STEP, left)} more`), every = h("button", { type: "button", click: () => grow(left) }, `Show all ${number(found.length)}`);
      more.replaceChildren(...(left > 0 ? [some, every] : []));
    }
    show();
  }

  // ---- The page

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) { // no permission, or an old browser
      const field = h("textarea", { readonly: true, class: "hidden" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  const kinds = { curves, confusion, reliability, attention, sentences };
  for (const [id, part] of Object.entries(JSON.parse(document.getElementById("data").textContent))) {
    const section = document.getElementById(id), host = h("div", { class: "explorer" });
    if (!section || !kinds[part.kind]) continue;
    try {
      section.append(host);
      kinds[part.kind](part, host);
      section.classList.add("live");
    } catch (error) { // the picture stays
      host.remove();
      console.error(id, error);
    }
  }
  for (const code of document.querySelectorAll(".commands code")) {
    const button = h("button", { type: "button", "aria-label": `Copy ${code.textContent}`, click: async () => {
      await copy(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    } }, "Copy");
    code.after(button);
  }
})();
