"use strict";

const byId = (id) => document.getElementById(id);
const { layers, unit } = JSON.parse(byId("layers").textContent);
const menus = [byId("left"), byId("right")];
const sections = [...document.querySelectorAll("section")];
const sliders = ["centre", "width"].map((name) => [byId(name), byId(`${name}-number`)]);
const images = new Map();
const panes = [null, null];
// layers that begin with one window go on sharing it
const windows = new Map(layers.map((layer) => [String(layer.window), [...layer.window]]));

const OPTIONS = {
  isRadiologicalConvention: true,
  sagittalNoseLeft: true,
  multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
  multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID,
  tileMargin: 3,
  crosshairColor: [0.91, 0.69, 0.29, 0.8],
  fontColor: [0.82, 0.84, 0.87, 1],
  show3Dcrosshair: true,
  isColorbar: true,
  isForceMouseClickToVoxelCenters: true,
  dragMode: niivue.DRAG_MODE.windowing,
  dragAndDropEnabled: false,
  // NiiVue hears keys only after a click into the picture: see onKey
  viewModeHotKey: "",
  clipPlaneHotKey: "",
  logLevel: "warn",
};
// transparent in the middle, so that the rendering shows errors alone
const ERROR = {
  R: [130, 0, 0, 255, 255],
  G: [210, 70, 0, 60, 200],
  B: [255, 255, 0, 0, 110],
  A: [160, 80, 0, 80, 160],
  I: [0, 64, 128, 192, 255],
};

function windowOf(index) {
  return windows.get(String(layers[index].window));
}

async function imageOf(index) {
  if (!images.has(index)) {
    const image = await niivue.NVImage.loadFromBase64({
      base64: document.getElementsByClassName("volume")[index].textContent.trim(),
      name: "volume.nii.gz",
      colormap: layers[index].colormap,
    });
    // what a double click goes back to
    [image.robust_min, image.robust_max] = layers[index].window;
    images.set(index, image);
  }
  return images.get(index);
}

async function paneOf(side) {
  if (panes[side] === null) {
    const canvas = sections[side].querySelector("canvas");
    const nv = new niivue.Niivue(OPTIONS);
    nv.addColormap("error", ERROR);
    await nv.attachToCanvas(canvas);
    nv.onLocationChange = () => follow(nv);
    nv.onIntensityChange = () => takeWindow(side);
    canvas.addEventListener("mousemove", (event) => pointAt(side, event));
    canvas.addEventListener("mouseleave", () => readOut(null));
    nv.setSliceType(VIEWS[chosen.view]);
    nv.setClipPlane(CUTS[chosen.cut]);
    panes[side] = { nv, index: -1 };
  }
  return panes[side];
}

function shown() {
  return panes.filter((pane) => pane !== null && pane.index >= 0);
}

// true mm also where the grid is oblique, which NiiVue's own way of sharing it is not
function crosshairOf(nv) {
  return nv.frac2mm(nv.scene.crosshairPos, 0, true);
}

function moveTo(nv, place) {
  if (Math.hypot(...[0, 1, 2].map((i) => crosshairOf(nv)[i] - place[i])) < 1e-3) return;
  nv.scene.crosshairPos = nv.mm2frac(place, 0, true);
  nv.drawScene();
}

function leader() {
  const focused = shown().find(({ nv }) => nv.canvas === document.activeElement);
  return (focused ?? shown()[0]).nv;
}

function follow(moved) {
  // NiiVue tells of the one that follows first
  if (shown().length > 1 && moved === leader())
    shown().forEach(({ nv }) => moveTo(nv, crosshairOf(moved)));
  readOut(null);
}

async function show(side, index) {
  sections[side].hidden = index < 0;
  menus[side].value = index;
  if (index < 0) {
    if (panes[side] !== null) panes[side].index = -1;
  } else {
    const pane = await paneOf(side);
    const place = shown().map(({ nv }) => crosshairOf(nv))[0];
    const image = await imageOf(index);
    [image.cal_min, image.cal_max] = windowOf(index);
    pane.nv.volumes = [image];
    pane.index = index;
    pane.nv.setVolume(image, 0);
    if (place) moveTo(pane.nv, place);
    else pane.nv.moveCrosshairInVox(0, 0, 0); // to the centre of a voxel
  }
  const both = shown().map(({ nv }) => nv);
  const shared = { "3d": true, zoomPan: true };
  both.forEach((nv) => nv.broadcastTo(both.filter((other) => other !== nv), shared));
  showWindow();
  readOut(null);
  document.body.dataset.loaded = images.size;
}

function setWindow(index, [low, high]) {
  windows.set(String(layers[index].window), [low, high]);
  for (const pane of shown()) {
    [pane.nv.volumes[0].cal_min, pane.nv.volumes[0].cal_max] = windowOf(pane.index);
    pane.nv.updateGLVolume();
  }
  showWindow();
  readOut(null);
}

// the sliders belong to what is on the left
function showWindow() {
  const { range, window } = layers[panes[0].index];
  const [low, high] = windowOf(panes[0].index);
  const span = Math.max(range[1] - range[0], window[1] - window[0]);
  const limits = [[Math.min(range[0], window[0]), Math.max(range[1], window[1])], [span / 1e3, span]];
  [(low + high) / 2, high - low].forEach((value, i) => {
    const [slider, number] = sliders[i];
    [slider.min, slider.max] = limits[i];
    slider.value = value;
    number.value = Number(value.toPrecision(4));
  });
}

function takeWindow(side) {
  const { nv, index } = panes[side];
  setWindow(index, [nv.volumes[0].cal_min, nv.volumes[0].cal_max]);
}

function pointAt(side, event) {
  const { nv } = panes[side];
  if (event.buttons & 2) return takeWindow(side);
  const scale = nv.uiData.dpr || 1;
  const place = nv.canvasPos2frac([event.offsetX * scale, event.offsetY * scale]);
  readOut(place[0] < 0 ? null : nv.frac2mm(place, 0, true));
}

// at the pointer, or at the crosshair where there is none
function readOut(pointer) {
  for (const { nv, index } of shown()) {
    const place = pointer ?? crosshairOf(nv);
    const value = nv.volumes[0].getValue(...nv.volumes[0].mm2vox(place));
    const digits = Math.max(0, Math.round(-Math.log10(layers[index].step)));
    const [x, y, z] = [...place].map((v) => v.toFixed(1));
    sections[panes.findIndex((pane) => pane?.nv === nv)].querySelector("output").textContent =
      `${layers[index].title}: ${`${value.toFixed(digits)} ${unit}`.trim()} at ` +
      `${pointer ? "the pointer" : "the crosshair"} (x ${x}, y ${y}, z ${z} mm)`;
  }
}

// voxels along patient's right, front and head: left on the screen is the patient's right
const STEPS = {
  ArrowLeft: [1, 0, 0],
  ArrowRight: [-1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};
const { AXIAL, CORONAL, SAGITTAL, MULTIPLANAR, RENDER } = niivue.SLICE_TYPE;
const VIEWS = [MULTIPLANAR, AXIAL, CORONAL, SAGITTAL, RENDER];
// depth, azimuth, elevation of the plane that cuts the rendering; the first is outside
const CUTS = [[2, 0, 0], [0, 0, 0], [0, 90, 0], [0, 0, 90]];
const chosen = { view: 0, cut: 0 };

function onKey(event) {
  if (/INPUT|SELECT/.test(event.target.tagName) || event.ctrlKey || event.altKey) return;
  const index = event.key >= "1" && event.key <= "9" ? Number(event.key) - 1 : -1;
  if (layers[index]) guarded(() => show(0, index));
  if (event.key === "v") chosen.view = (chosen.view + 1) % VIEWS.length;
  if (event.key === "c") chosen.cut = (chosen.cut + 1) % CUTS.length;
  for (const { nv } of shown()) {
    if (event.key === "v") nv.setSliceType(VIEWS[chosen.view]);
    if (event.key === "c") nv.setClipPlane(CUTS[chosen.cut]);
  }
  if (event.key in STEPS && shown().length) {
    leader().moveCrosshairInVox(...STEPS[event.key]);
    event.preventDefault();
  }
}

async function guarded(action) {
  try {
    await action();
  } catch (error) {
    fail(`The volume could not be drawn: ${error.message}`);
  }
}

function fail(text) {
  byId("message").textContent = text;
  byId("message").hidden = false;
  document.body.dataset.error = text;
}

// #2 opens the third volume, #0,2 the first and the third side by side
function fromAddress() {
  const wanted = location.hash.slice(1).split(",").map(Number);
  return [0, -1].map((otherwise, side) => (layers[wanted[side]] ? wanted[side] : otherwise));
}

async function begin() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    return fail(
      "This browser offers no WebGL 2, which draws the volumes. Switch hardware acceleration on, " +
        "or open the page in a current Firefox, Chrome, Edge or Safari.",
    );
  }
  layers.forEach(({ title }, i) => menus.forEach((menu) => menu.add(new Option(title, i))));
  menus.forEach((menu, side) =>
    menu.addEventListener("change", () => guarded(() => show(side, Number(menu.value)))),
  );
  for (const inputs of sliders) {
    inputs.forEach((input, i) =>
      input.addEventListener(i ? "change" : "input", () => {
        inputs[1 - i].value = input.value;
        const [centre, width] = sliders.map(([, number]) => Number(number.value));
        if (width > 0) setWindow(panes[0].index, [centre - width / 2, centre + width / 2]);
      }),
    );
  }
  document.addEventListener("keydown", onKey);
  const [left, right] = fromAddress();
  await show(0, left);
  if (right >= 0) await show(1, right);
}

guarded(begin);
