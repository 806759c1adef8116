"use strict";
(() => {
  const source = document.getElementById("miss-data");
  if (!source) return;
  const { images, items } = JSON.parse(source.textContent);
  const [kind, words, back, next, place, view, details] =
    ["kind", "words", "back", "next", "place", "view", "details"]
      .map((name) => document.getElementById("miss-" + name));
  const colours = { truth: "#d55e00", prediction: "#0072b2" };
  let selected = items, at = 0;

  function svg(name, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  function draw() {
    const item = selected[at];
    back.disabled = at <= 0;
    next.disabled = at >= selected.length - 1;
    place.textContent = item ? `${at + 1} of ${selected.length}` : "none";
    view.replaceChildren();
    details.replaceChildren();
    if (!item) return;
    const [width, height] = item.size;
    view.setAttribute("viewBox", `0 0 ${width} ${height}`);
    view.append(svg("image", { width, height, href: "data:image/webp;base64," + images[item.image] }));
    for (const name of ["truth", "prediction"]) {
      for (const [x1, y1, x2, y2] of item.lines[name]) {
        const stroke = { stroke: colours[name], "stroke-width": 2, "vector-effect": "non-scaling-stroke" };
        view.append(svg("line", { x1, y1, x2, y2, ...stroke }));
      }
    }
    const rows = [["Text", item.text], ["Kind", `${item.kind}: ${item.about}`], ["Predicted", item.said],
      ["True", item.truth], ["Score", item.outcome], ["Scene", item.scene]];
    for (const [head, text] of rows) {
      const name = document.createElement("dt"), value = document.createElement("dd");
      name.textContent = head;
      value.textContent = text;
      details.append(name, value);
    }
  }

  function filter() {
    const wanted = words.value.trim().toLowerCase();
    selected = items.filter((item) => (kind.value === "" || item.kind === kind.value)
      && (item.text + " " + item.scene).toLowerCase().includes(wanted));
    at = 0;
    draw();
  }

  function step(by) {
    at = Math.min(selected.length - 1, Math.max(0, at + by));
    draw();
  }

  kind.addEventListener("change", filter);
  words.addEventListener("input", filter);
  back.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  draw();
})();
