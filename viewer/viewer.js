"use strict";
// One WebGL view of points, triangles and lines in metres, z up, with a camera that turns around a
// centre. Drag or arrow keys turn, wheel, pinch, + and - zoom, Shift or the right button moves.
const Viewer3D = (() => {
  const FOCAL = 1.8, NEAR = 0.05, FAR = 60, MOST_PLANES = 4;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // ---- data ------------------------------------------------------------------------------------
  function decodeBytes(text) {
    const letters = atob(text), out = new Uint8Array(letters.length);
    for (let k = 0; k < letters.length; k++) out[k] = letters.charCodeAt(k);
    return out;
  }
  // Returns {xyz: metres, rgb: bytes, faces: Uint32Array or null} of base64 texts.
  function decode(part) {
    return {
      xyz: Float32Array.from(new Int16Array(decodeBytes(part.xyz).buffer), (v) => v / 1000),
      rgb: decodeBytes(part.rgb),
      faces: part.faces ? new Uint32Array(decodeBytes(part.faces).buffer) : null,
    };
  }
  // The 12 edges of a box [cx, cy, cz, sx, sy, sz] as pairs of points.
  function boxEdges([x, y, z, a, b, h]) {
    const corners = [], out = [];
    for (let k = 0; k < 8; k++) {
      corners.push([x + (k & 1 ? a : -a) / 2, y + (k & 2 ? b : -b) / 2, z + (k & 4 ? h : -h) / 2]);
    }
    for (let k = 0; k < 8; k++) for (const bit of [1, 2, 4]) {
      if (!(k & bit)) out.push(...corners[k], ...corners[k | bit]);
    }
    return out;
  }
  // Colours with a little light from above, so that a surface of one colour has a shape. Both sides
  // of a triangle are lit alike: meshes may be inside out.
  function shade({ xyz, rgb, faces }) {
    const normals = new Float32Array(xyz.length);
    for (let f = 0; f < faces.length; f += 3) {
      const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
      const p = [0, 1, 2].map((i) => xyz[b + i] - xyz[a + i]);
      const q = [0, 1, 2].map((i) => xyz[c + i] - xyz[a + i]);
      const n = [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
      // Normals of opposite windings must not cancel at a shared corner.
      const side = Math.sign(n[2] || n[0] || n[1]);
      for (const corner of [a, b, c]) for (let i = 0; i < 3; i++) normals[corner + i] += side * n[i];
    }
    return Uint8Array.from(rgb, (value, k) => {
      const i = k - (k % 3), size = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      return value * (0.55 + 0.35 * Math.abs(normals[i + 2] / size) + 0.1 * Math.abs(normals[i] / size));
    });
  }
  const unitColour = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);

  // ---- WebGL -----------------------------------------------------------------------------------
  function compile(gl) {
    // A position beyond a cutting plane (normal, offset) is not drawn.
    const sources = {
      [gl.VERTEX_SHADER]: `attribute vec3 xyz; attribute vec3 rgb; uniform mat4 matrix;
        uniform float size; uniform vec4 planes[${MOST_PLANES}]; varying vec3 colour; varying float beyond;
        void main() {
          gl_Position = matrix * vec4(xyz, 1.0);
          gl_PointSize = clamp(size / gl_Position.w, 1.0, 9.0);
          colour = rgb;
          beyond = -1.0;
          for (int k = 0; k < ${MOST_PLANES}; k++) beyond = max(beyond, dot(planes[k].xyz, xyz) - planes[k].w);
        }`,
      [gl.FRAGMENT_SHADER]: `precision mediump float; varying vec3 colour; varying float beyond;
        void main() { if (beyond > 0.0) discard; gl_FragColor = vec4(colour, 1.0); }`,
    };
    const program = gl.createProgram();
    for (const [kind, text] of Object.entries(sources)) {
      const shader = gl.createShader(Number(kind));
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    const uniform = (name) => gl.getUniformLocation(program, name);
    return { xyz: gl.getAttribLocation(program, "xyz"), rgb: gl.getAttribLocation(program, "rgb"),
      matrix: uniform("matrix"), size: uniform("size"), planes: uniform("planes") };
  }

  // options, all but `lines` optional:
  //   lines()          returns [[points, "#rrggbb"], ...], pairs of points joined by a line
  //   pointSize        side of a point in metres, 0.02 if left out
  //   linesOnTop       draw lines over points and triangles that are nearer
  //   cuts(eye)        returns up to 4 planes [nx, ny, nz, offset]; what is beyond one is not drawn
  //   rendered()       called after each frame
  //   clicked(x, y)    called for a click, in CSS pixels of the canvas
  //   hovered(x, y)    called for a pointer that moves without a button
  //   escaped()        called for the Escape key
  function create(canvas, options) {
    const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
    const view = { turn: 0.7, tilt: 0.75, reach: 6, centre: [0, 0, 1] };
    const shader = gl && compile(gl);
    let layers = [], waiting = false;

    // ---- camera --------------------------------------------------------------------------------
    function axes() {
      const away = [Math.cos(view.tilt) * Math.cos(view.turn), Math.cos(view.tilt) * Math.sin(view.turn),
        Math.sin(view.tilt)];
      const right = [-Math.sin(view.turn), Math.cos(view.turn), 0];
      const up = [away[1] * right[2] - away[2] * right[1], away[2] * right[0] - away[0] * right[2],
        away[0] * right[1] - away[1] * right[0]];
      const eye = view.centre.map((c, k) => c + view.reach * away[k]);
      return { right, up, away, eye };
    }
    // Matrices are stored column by column, as WebGL reads them.
    function multiply(a, b) {
      const out = new Float32Array(16);
      for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) {
        for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
      }
      return out;
    }
    function projection() {
      const { right, up, away, eye } = axes();
      const dot = (a) => -(a[0] * eye[0] + a[1] * eye[1] + a[2] * eye[2]);
      const pose = [right[0], up[0], away[0], 0, right[1], up[1], away[1], 0,
        right[2], up[2], away[2], 0, dot(right), dot(up), dot(away), 1];
      const lens = [FOCAL * canvas.height / canvas.width, 0, 0, 0, 0, FOCAL, 0, 0,
        0, 0, (FAR + NEAR) / (NEAR - FAR), -1, 0, 0, 2 * FAR * NEAR / (NEAR - FAR), 0];
      return multiply(lens, pose);
    }
    // Returns the CSS pixel of a point, or null where it is behind the camera.
    function project([x, y, z]) {
      const matrix = projection();
      const row = (r) => matrix[r] * x + matrix[4 + r] * y + matrix[8 + r] * z + matrix[12 + r];
      const w = row(3);
      if (w <= 0) return null;
      return [(0.5 + row(0) / w / 2) * canvas.clientWidth, (0.5 - row(1) / w / 2) * canvas.clientHeight];
    }
    // Returns the first of the objects {box} whose box is under a CSS pixel, or null.
    function pick(objects, x, y) {
      const { right, up, away, eye } = axes();
      const u = (2 * x / canvas.clientWidth - 1) * canvas.clientWidth / canvas.clientHeight / FOCAL;
      const v = (1 - 2 * y / canvas.clientHeight) / FOCAL;
      const ray = [0, 1, 2].map((k) => u * right[k] + v * up[k] - away[k]);
      let best = null, least = Infinity;
      for (const object of objects) {
        const { box } = object;
        let enter = 0, leave = Infinity;
        for (let k = 0; k < 3; k++) {
          const a = (box[k] - box[3 + k] / 2 - eye[k]) / ray[k], b = (box[k] + box[3 + k] / 2 - eye[k]) / ray[k];
          enter = Math.max(enter, Math.min(a, b));
          leave = Math.min(leave, Math.max(a, b));
        }
        // Of boxes behind one another a small one wins over a large one that holds it.
        const distance = enter + 0.5 * Math.cbrt(box[3] * box[4] * box[5]);
        if (enter < leave && distance < least) { least = distance; best = object; }
      }
      return best;
    }

    // ---- drawing -------------------------------------------------------------------------------
    function buffer(data, kind = gl.ARRAY_BUFFER) {
      const made = gl.createBuffer();
      gl.bindBuffer(kind, made);
      gl.bufferData(kind, data, gl.STATIC_DRAW);
      return made;
    }
    function attach(positions, colours, kind) {
      gl.bindBuffer(gl.ARRAY_BUFFER, positions);
      gl.enableVertexAttribArray(shader.xyz);
      gl.vertexAttribPointer(shader.xyz, 3, gl.FLOAT, false, 0, 0);
      gl.bindBuffer(gl.ARRAY_BUFFER, colours);
      gl.enableVertexAttribArray(shader.rgb);
      gl.vertexAttribPointer(shader.rgb, 3, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
    }
    // Replaces what is drawn: layers {xyz, rgb, faces or null, visible()} as `decode` returns them.
    function show(parts) {
      for (const { buffers } of layers) for (const made of buffers) gl.deleteBuffer(made);
      const indexed = gl && gl.getExtension("OES_element_index_uint");
      layers = !gl ? [] : parts.filter((part) => !part.faces || indexed).map((part) => {
        const buffers = [buffer(part.xyz), buffer(part.faces ? shade(part) : part.rgb)];
        if (part.faces) buffers.push(buffer(part.faces, gl.ELEMENT_ARRAY_BUFFER));
        const count = part.faces ? part.faces.length : part.xyz.length / 3;
        return { buffers, count, visible: part.visible };
      });
      redraw();
    }
    function setPlanes(planes) {
      const values = new Float32Array(4 * MOST_PLANES);
      for (let k = 0; k < MOST_PLANES; k++) values.set(planes[k] || [0, 0, 0, 1], 4 * k);
      gl.uniform4fv(shader.planes, values);
    }
    function draw() {
      waiting = false;
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      canvas.width = Math.max(1, canvas.clientWidth * ratio);
      canvas.height = Math.max(1, canvas.clientHeight * ratio);
      if (gl) {
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.enable(gl.DEPTH_TEST);
        gl.clearColor(0.09, 0.098, 0.11, 1);
        gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
        gl.uniformMatrix4fv(shader.matrix, false, projection());
        gl.uniform1f(shader.size, (options.pointSize || 0.02) * FOCAL / 2 * canvas.height);
        setPlanes(options.cuts ? options.cuts(axes().eye) : []);
        for (const { buffers, count, visible } of layers) {
          if (!visible()) continue;
          attach(buffers[0], buffers[1], gl.UNSIGNED_BYTE);
          if (buffers[2]) {
            gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers[2]);
            gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, 0);
          } else {
            gl.drawArrays(gl.POINTS, 0, count);
          }
        }
        drawLines(options.lines());
      }
      if (options.rendered) options.rendered();
    }
    function drawLines(lines) {
      const xyz = lines.flatMap(([points]) => points);
      const rgb = lines.flatMap(([points, hex]) => Array(points.length / 3).fill(unitColour(hex)).flat());
      if (!xyz.length) return;
      setPlanes([]);
      const buffers = [buffer(new Float32Array(xyz)), buffer(new Float32Array(rgb))];
      attach(...buffers, gl.FLOAT);
      if (options.linesOnTop) gl.disable(gl.DEPTH_TEST);
      gl.drawArrays(gl.LINES, 0, xyz.length / 3);
      for (const made of buffers) gl.deleteBuffer(made);
    }
    function redraw() {
      if (!waiting) { waiting = true; requestAnimationFrame(draw); }
    }

    // ---- pointer and keys ----------------------------------------------------------------------
    function turn(across, down) {
      view.turn -= across;
      view.tilt = clamp(view.tilt + down, -0.5, 1.55);
      redraw();
    }
    function zoom(factor) {
      view.reach = clamp(view.reach * factor, 0.4, 40);
      redraw();
    }
    function pan(across, down) {
      const { right, up } = axes(), step = view.reach / FOCAL / canvas.clientHeight * 2;
      view.centre = view.centre.map((c, k) => c - step * (across * right[k] - down * up[k]));
      redraw();
    }
    function inCanvas(event) {
      const frame = canvas.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    }
    const touches = new Map();
    let travelled = 0;
    canvas.addEventListener("pointerdown", (event) => {
      touches.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
      travelled = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = touches.get(event.pointerId);
      if (!before) {
        if (options.hovered) options.hovered(...inCanvas(event));
        return;
      }
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      travelled += Math.hypot(dx, dy);
      const other = [...touches.values()].find((t) => t.pointerId !== event.pointerId);
      const apart = (t) => Math.max(1, Math.hypot(t.clientX - other.clientX, t.clientY - other.clientY));
      if (other) { zoom(apart(before) / apart(event)); pan(dx / 2, dy / 2); }
      else if (event.shiftKey || event.buttons === 2) pan(dx, dy);
      else turn(dx / 180, dy / 180);
      touches.set(event.pointerId, event);
    });
    canvas.addEventListener("pointerup", (event) => {
      touches.delete(event.pointerId);
      if (travelled < 5 && options.clicked) options.clicked(...inCanvas(event));
    });
    canvas.addEventListener("pointercancel", (event) => touches.delete(event.pointerId));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(event.deltaY / 700));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const keys = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      if (keys[event.key]) { event.preventDefault(); turn(...keys[event.key]); }
      if (event.key === "+" || event.key === "=") zoom(0.87);
      if (event.key === "-") zoom(1.15);
      if (event.key === "Escape" && options.escaped) options.escaped();
    });
    window.addEventListener("resize", redraw);

    return { view, supported: Boolean(gl), show, redraw, project, pick };
  }

  return { create, decode, boxEdges };
})();
