"use strict";
// The report's 3D view: one of the chosen scenes with its predicted and its true geometry.
(() => {
  const source = document.getElementById("scenes");
  if (!source) return;
  const scenes = JSON.parse(source.textContent);
  const at = (id) => document.getElementById(id);
  const layers = Object.fromEntries(
    ["prediction", "mesh", "truth", "boxes"].map((name) => [name, at("show-" + name)]));
  const kinds = { truth: { colour: "#f0975a", label: "true" },
    prediction: { colour: "#6cb8ea", label: "predicted" } };
  // Walls between the eye and the room are cut this far (metres) inside their plane.
  const CUT = 0.12;
  let scene = null;

  const boxes = () => layers.boxes.checked ? Object.keys(kinds).flatMap(
    (kind) => scene.boxes[kind].map((object) => ({ ...object, ...kinds[kind] }))) : [];

  const viewer = Viewer3D.create(at("canvas"), {
    pointSize: 0.035,
    linesOnTop: true,
    lines: () => boxes().map(({ box, colour }) => [Viewer3D.boxEdges(box), colour]),
    cuts: (eye) => scene.walls
      .filter(([x, y, offset]) => x * eye[0] + y * eye[1] > offset)
      .map(([x, y, offset]) => [x, y, 0, offset - CUT]),
    hovered: (x, y) => {
      const object = viewer.pick(boxes(), x, y);
      at("hover").textContent = object ? `${object.name} (${object.label})` : "";
    },
  });

  function open(index) {
    scene = scenes[index];
    const parts = [["truth", scene.clouds.truth], ["prediction", scene.clouds.prediction]];
    if (scene.mesh) parts.push(["mesh", scene.mesh]);
    layers.mesh.disabled = !scene.mesh;
    Object.assign(viewer.view, { centre: scene.centre, reach: 1.75 * scene.radius });
    viewer.show(parts.map(([name, part]) =>
      ({ ...Viewer3D.decode(part), visible: () => layers[name].checked })));
  }

  scenes.forEach((one, k) => at("scene").add(new Option(one.title || one.scene, k)));
  at("scene").addEventListener("change", () => open(Number(at("scene").value)));
  for (const layer of Object.values(layers)) layer.addEventListener("change", viewer.redraw);
  if (!viewer.supported) at("hover").textContent = "This browser has no WebGL, which the 3D view needs.";
  if (scenes.length) open(0);
})();
