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
    ["prediction", "mesh", "truth", "boxes"].map((k) => [k, document.getElementById("show-" + k)]));
  const colours = { prediction: "#6cb8ea", truth: "#f0975a" };
  const { width, height } = canvas;
  const view = { turn: 0.7, tilt: 0.75, zoom: 1 };
  const depth = new Float32Array(width * height);
  // Walls nearer to the eye than the room are cut this far (millimetres) inside their plane.
  const cut = 120;
  let scene = null, labels = [];

  function bytes(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
    return out;
  }

  function open(index) {
    const said = scenes[index];
    const unpack = (part) => ({ xyz: new Int16Array(bytes(part.xyz).buffer), rgb: bytes(part.rgb) });
    const clouds = Object.fromEntries(kinds.map((kind) => [kind, unpack(said.clouds[kind])]));
    const mesh = said.mesh
      && { ...unpack(said.mesh), faces: new Uint32Array(bytes(said.mesh.faces).buffer) };
    shown.mesh.disabled = !mesh;
    scene = { ...said, clouds, mesh };
    draw();
  }

  function camera() {
    const c = Math.cos(view.turn), s = Math.sin(view.turn);
    const ct = Math.cos(view.tilt), st = Math.sin(view.tilt);
    const scale = (0.48 * Math.min(width, height) * view.zoom) / scene.radius;
    const [cx, cy, cz] = scene.centre;
    const project = (x, y, z) => {
      x -= cx; y -= cy; z -= cz;
      const across = -s * x + c * y, away = c * x + s * y;
      return [width / 2 + scale * across, height / 2 - scale * (ct * z - st * away),
        -ct * away - st * z];
    };
    const near = scene.walls.filter(([x, y]) => x * c + y * s > 0);
    const hidden = (x, y) => near.some(([nx, ny, offset]) => nx * x + ny * y > 1000 * offset - cut);
    return { project, hidden };
  }

  function drawPoints(pixels, { project, hidden }, { xyz, rgb }) {
    const size = Math.max(2, Math.round(2.2 * view.zoom));
    for (let k = 0; k < rgb.length; k += 3) {
      if (hidden(xyz[k], xyz[k + 1])) continue;
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

  function drawMesh(pixels, { project, hidden }, { xyz, rgb, faces }) {
    const count = xyz.length / 3, at = new Float32Array(3 * count), gone = new Uint8Array(count);
    for (let k = 0; k < count; k++) {
      const [x, y, z] = [xyz[3 * k], xyz[3 * k + 1], xyz[3 * k + 2]];
      gone[k] = hidden(x, y) ? 1 : 0;
      at.set(project(x / 1000, y / 1000, z / 1000), 3 * k);
    }
    for (let f = 0; f < faces.length; f += 3) {
      const corner = [faces[f], faces[f + 1], faces[f + 2]];
      if (gone[corner[0]] || gone[corner[1]] || gone[corner[2]]) continue;
      fill(pixels, at, corner, shade(xyz, rgb, corner));
    }
  }

  function shade(xyz, rgb, [a, b, c]) {
    const side = (p, q) => [0, 1, 2].map((k) => xyz[3 * p + k] - xyz[3 * q + k]);
    const u = side(b, a), v = side(c, a);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const length = Math.hypot(...n) || 1;
    // Lit from above and a little from one side, alike from both faces: solids may be inside out.
    const light = 0.45 + 0.4 * Math.abs(n[2] / length) + 0.15 * Math.abs(n[0] / length);
    const mean = [0, 1, 2].map((k) => light * (rgb[3 * a + k] + rgb[3 * b + k] + rgb[3 * c + k]) / 3);
    return (255 << 24) | (mean[2] << 16) | (mean[1] << 8) | mean[0];
  }

  function fill(pixels, at, [a, b, c], colour) {
    const [ax, ay, ad] = at.subarray(3 * a, 3 * a + 3), [bx, by, bd] = at.subarray(3 * b, 3 * b + 3);
    const [cx, cy, cd] = at.subarray(3 * c, 3 * c + 3);
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (area === 0) return;
    const left = Math.max(0, Math.floor(Math.min(ax, bx, cx)));
    const right = Math.min(width - 1, Math.ceil(Math.max(ax, bx, cx)));
    const top = Math.max(0, Math.floor(Math.min(ay, by, cy)));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(ay, by, cy)));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const p = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area;
        const q = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area;
        if (p < 0 || q < 0 || p + q > 1) continue;
        const d = p * ad + q * bd + (1 - p - q) * cd, place = y * width + x;
        if (d < depth[place]) { depth[place] = d; pixels[place] = colour; }
      }
    }
  }

  function drawBoxes({ project }) {
    labels = [];
    if (!shown.boxes.checked) return;
    for (const kind of kinds) {
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
    const eye = camera();
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    depth.fill(Infinity);
    for (const kind of kinds) if (shown[kind].checked) drawPoints(pixels, eye, scene.clouds[kind]);
    if (shown.mesh.checked && scene.mesh) drawMesh(pixels, eye, scene.mesh);
    context.putImageData(image, 0, 0);
    drawBoxes(eye);
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
    const kind = best && (best.kind === "truth" ? "true" : "predicted");
    hover.textContent = best ? `${best.name} (${kind})` : "";
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
  if (scenes.length) open(0);
})();
