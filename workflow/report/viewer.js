"use strict";
(() => {
  const source = document.getElementById("scenes");
  if (!source) return;
  const scenes = JSON.parse(source.textContent);
  const canvas = document.getElementById("canvas");
  const context = canvas.getContext("2d");
  const pick = document.getElementById("scene");
  const hover = document.getElementById("hover");
  const kinds = ["truth", "prediction"];
  const shown = Object.fromEntries(
    ["prediction", "truth", "boxes"].map((k) => [k, document.getElementById("show-" + k)]));
  const colours = { prediction: "#6cb8ea", truth: "#f0975a" };
  const { width, height } = canvas;
  const view = { turn: 0.7, tilt: 0.75, zoom: 1 };
  let scene = null, labels = [];

  function bytes(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
    return out;
  }

  function open(index) {
    const said = scenes[index];
    const clouds = {};
    for (const kind of kinds) {
      const cloud = said.clouds[kind];
      clouds[kind] = { xyz: new Int16Array(bytes(cloud.xyz).buffer), rgb: bytes(cloud.rgb) };
    }
    scene = { ...said, clouds };
    draw();
  }

  function camera() {
    const c = Math.cos(view.turn), s = Math.sin(view.turn);
    const ct = Math.cos(view.tilt), st = Math.sin(view.tilt);
    const scale = (0.48 * Math.min(width, height) * view.zoom) / scene.radius;
    const [cx, cy, cz] = scene.centre;
    return (x, y, z) => {
      x -= cx; y -= cy; z -= cz;
      const across = -s * x + c * y, away = c * x + s * y;
      return [width / 2 + scale * across, height / 2 - scale * (ct * z - st * away),
        -ct * away - st * z];
    };
  }

  function drawPoints(project) {
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const depth = new Float32Array(width * height).fill(Infinity);
    const size = Math.max(2, Math.round(2.2 * view.zoom));
    for (const kind of kinds) {
      if (!shown[kind].checked) continue;
      const { xyz, rgb } = scene.clouds[kind];
      for (let k = 0; k < rgb.length; k += 3) {
        const [u, v, d] = project(xyz[k] / 1000, xyz[k + 1] / 1000, xyz[k + 2] / 1000);
        const colour = (255 << 24) | (rgb[k + 2] << 16) | (rgb[k + 1] << 8) | rgb[k];
        const left = Math.round(u - size / 2), top = Math.round(v - size / 2);
        for (let r = Math.max(0, top); r < Math.min(height, top + size); r++) {
          for (let c = Math.max(0, left); c < Math.min(width, left + size); c++) {
            const at = r * width + c;
            if (d < depth[at]) { depth[at] = d; pixels[at] = colour; }
          }
        }
      }
    }
    context.clearRect(0, 0, width, height);
    context.putImageData(image, 0, 0);
  }

  function drawBoxes(project) {
    labels = [];
    if (!shown.boxes.checked) return;
    for (const kind of kinds) {
      if (!shown[kind].checked) continue;
      context.strokeStyle = colours[kind];
      context.lineWidth = 1.5;
      for (const { name, box } of scene.boxes[kind]) {
        const [x, y, z, a, b, h] = box;
        const corners = [];
        for (let k = 0; k < 8; k++) {
          corners.push(project(x + (k & 1 ? a : -a) / 2, y + (k & 2 ? b : -b) / 2,
            z + (k & 4 ? h : -h) / 2));
        }
        context.beginPath();
        for (let k = 0; k < 8; k++) {
          for (const bit of [1, 2, 4]) {
            if (k & bit) continue;
            context.moveTo(corners[k][0], corners[k][1]);
            context.lineTo(corners[k | bit][0], corners[k | bit][1]);
          }
        }
        context.stroke();
        labels.push({ name, kind, at: project(x, y, z) });
      }
    }
  }

  function draw() {
    const project = camera();
    drawPoints(project);
    drawBoxes(project);
  }

  function move(turn, tilt) {
    view.turn += turn;
    view.tilt = Math.min(1.5, Math.max(-0.2, view.tilt + tilt));
    draw();
  }

  function zoom(factor) {
    view.zoom = Math.min(8, Math.max(0.4, view.zoom * factor));
    draw();
  }

  function say(event) {
    const frame = canvas.getBoundingClientRect(), ratio = width / frame.width;
    const u = (event.clientX - frame.left) * ratio, v = (event.clientY - frame.top) * ratio;
    let best = null, least = 40;
    for (const label of labels) {
      const away = Math.hypot(label.at[0] - u, label.at[1] - v);
      if (away < least) { least = away; best = label; }
    }
    hover.textContent = best ? best.name + " (" + best.kind + ")" : "";
  }

  const touches = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    touches.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = touches.get(event.pointerId);
    if (!before) { say(event); return; }
    const others = [...touches.values()].filter((t) => t.pointerId !== event.pointerId);
    if (others.length) {
      const far = (t) => Math.hypot(t.clientX - others[0].clientX, t.clientY - others[0].clientY);
      zoom(far(event) / Math.max(1, far(before)));
    } else {
      move((before.clientX - event.clientX) / 150, (event.clientY - before.clientY) / 150);
    }
    touches.set(event.pointerId, event);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => touches.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 600));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (keys[event.key]) { event.preventDefault(); move(...keys[event.key]); }
    if (event.key === "+" || event.key === "=") zoom(1.15);
    if (event.key === "-") zoom(1 / 1.15);
  });
  scenes.forEach((said, k) => pick.add(new Option(said.title || said.scene, k)));
  pick.addEventListener("change", () => open(Number(pick.value)));
  for (const box of Object.values(shown)) box.addEventListener("change", draw);
  open(0);
})();
