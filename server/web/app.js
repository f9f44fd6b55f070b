// app.js: the page: form, pictures that go along, jobs, how a job looks, token.
//   start -> run -> (a task: finishTask) -> done, failed or cancelled
// Everything goes with the tab. Text of others never becomes markup: make() makes every element.
import { carryOut, Failure, finishTask, loadModels, setToken, setTokenDialog, token } from "/api.js";
import { duration, explain, firstModel, groupModels, isSample, modes, providerName, providerOf, shortName, taskProgress, whatIsMissing } from "/words.js";

const HISTORY_MAX = 60;
const FILE_MAX = 50 << 20; // the server's limits: of a picture in a form,
const FORM_MAX = 60 << 20; // of the form,
const INLINE_MAX = 22 << 20; // and of one within JSON, where it grows by a third

const sampleNote = "Drawn from your words by arithmetic on this server. No AI, no network: it shows that everything works.";

const $ = (id) => document.getElementById(id);

/** make("p", {className: "note"}, "text", child…); a child that is false or undefined is left out. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child));
  return element;
}
const button = (text, onclick, className = "") => make("button", { type: "button", className, onclick }, text);
const note = (text) => make("p", { className: "note" }, text);

let models = [];
let mode = "picture";
const chosenModels = {}; // for each mode
let pictures = []; // {name, src, file}, or without `file` when `src` is an address
const jobs = []; // newest first
let shown; // the job on the stage

const hasModels = (name) => groupModels(models, name).length > 0;
const modelOf = (id) => models.find((model) => model.id === id);
const nameOf = (id) => shortName(modelOf(id) ?? { id });
const ownedName = ({ id }) => `${nameOf(id)} (${providerName(providerOf(id))})`;

async function begin() {
  $("stage").replaceChildren(note("Looking what this server can do…"));
  try {
    models = await loadModels();
  } catch (error) {
    $("stage").replaceChildren(viewFailure(error, "", button(error.status === 401 ? "Enter a token" : "Try again", begin, "primary")));
    return;
  }
  $("modes").append(...Object.entries(modes).map(([name, { label }]) =>
    make("label", { title: hasModels(name) ? "" : "No model here can do this" },
      make("input", { type: "radio", name: "mode", value: name, disabled: !hasModels(name), className: "unseen", onchange: () => setMode(name) }), make("span", {}, label))));
  setMode(Object.keys(modes).find(hasModels) ?? mode);
  drawStage();
}

// ---- the form

const control = (name) => $("form").elements[name];

function setMode(name, modelId) {
  const { fields, pictureCount, button: title } = modes[(mode = name)];
  control("mode").value = mode;
  for (const field of ["pictures", "prompt", "ar", "seed", "duration", "negativePrompt"])
    $(`${field}-field`).hidden = $(`${field}-field`).disabled = !fields.includes(field); // a disabled field is not sent
  $("prompt-label").textContent = { edit: "What should change?", text: "What is your idea?", video: "What should happen?" }[mode] ?? "What would you like to see?";
  $("pictures-label").textContent = pictureCount > 1 ? `Pictures, up to ${pictureCount}` : "Picture";
  $("files").multiple = pictureCount > 1;
  $("improve").hidden = mode === "text" || !hasModels("text");
  $("submit").textContent = title;
  $("form-note").textContent = "";
  setPictures(pictures.slice(0, pictureCount || pictures.length));

  const groups = groupModels(models, mode);
  $("model").replaceChildren(...groups.map(([provider, members]) =>
    make("optgroup", { label: providerName(provider) }, ...members.map((model) => make("option", { value: model.id }, shortName(model))))));
  $("model").disabled = $("submit").disabled = groups.length === 0;
  $("model").value = modelId ?? chosenModels[mode] ?? firstModel(groups)?.id;
  drawModel();
}

/** What depends on the model: the notes, and a slider for every range that it publishes. */
function drawModel() {
  const model = modelOf($("model").value);
  $("provider").textContent = model ? providerName(providerOf(model.id)) : "";
  $("model-note").textContent = model && isSample(model.id) ? sampleNote : "";
  $("sliders").replaceChildren(...["steps", "guidance"].filter((name) => model?.[name]).map((name) => {
    const [min, max] = model[name].range;
    const output = make("output");
    const slider = make("input", { type: "range", id: name, name, min, max, step: name === "steps" ? 1 : 0.1, value: model[name].default, oninput: () => (output.value = slider.value) });
    slider.oninput();
    const label = make("label", { htmlFor: name }, name === "steps" ? "Steps" : "Guidance");
    return make("fieldset", {}, make("div", { className: "above" }, label, output), slider);
  }));
}
$("model").onchange = () => {
  chosenModels[mode] = $("model").value;
  drawModel();
};

$("shapes").append(...["1:1", "4:3", "3:2", "16:9", "3:4", "2:3", "9:16"].map((ar) => {
  const [width, height] = ar.split(":");
  const icon = make("i");
  icon.style.aspectRatio = `${width} / ${height}`;
  icon.style.width = `${Math.min(1, width / height)}rem`;
  return make("label", {}, make("input", { type: "radio", name: "ar", value: ar, checked: ar === "1:1", className: "unseen" }), make("span", {}, icon, ar));
}));
$("dice").onclick = () => ($("seed").value = Math.floor(Math.random() * 2147483647));

/** The body of the request, but for the pictures: every field that is enabled and not empty. */
function readForm() {
  const isNumber = (name) => ["seed", "steps", "guidance", "duration"].includes(name);
  const fields = [...new FormData($("form"))].filter(([name, value]) => name !== "mode" && value.trim() !== "");
  return Object.fromEntries(fields.map(([name, value]) => [name, isNumber(name) ? Number(value) : value]));
}

/** The opposite: an earlier job's settings, with the seed that was used. */
function fillForm(job) {
  pictures = job.pictures;
  setMode(job.mode, job.params.model);
  const values = { prompt: "", seed: "", duration: "", negativePrompt: "", ...job.params, ...(job.answer?.seed !== undefined && { seed: job.answer.seed }) };
  for (const [name, value] of Object.entries(values)) if (control(name)) control(name).value = value;
  for (const slider of $("sliders").querySelectorAll("input")) slider.oninput();
  $("form").scrollIntoView();
}

function fillPrompt(text) {
  if (mode !== "picture") setMode("picture");
  $("prompt").value = text;
  $("prompt").focus();
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  const params = readForm();
  const missing = whatIsMissing(mode, modelOf(params.model), params.prompt ?? "", pictures.length);
  $("form-note").textContent = missing;
  if (missing) $(missing.includes("picture") ? "files" : "prompt").focus();
  else start(mode, params, pictures);
};
$("form").onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
};

// ---- a better prompt, in place

let improving; // while we wait for it: how to stop that
$("improve").onclick = async () => {
  if (improving) return improving.abort();
  const prompt = $("prompt").value;
  if (prompt.trim() === "") return $("prompt").focus();
  const model = chosenModels.text ?? firstModel(groupModels(models, "text")).id;
  improving = new AbortController();
  $("improve").textContent = "Stop";
  $("prompt-note").replaceChildren(`Asking ${nameOf(model)}…`);
  try {
    $("prompt").value = (await carryOut("text", { model, prompt }, improving.signal)).text;
    $("prompt-note").replaceChildren(button("Back to my own words", () => ($("prompt").value = prompt), "link"));
  } catch (error) {
    $("prompt-note").replaceChildren(error instanceof Failure ? explain(error, model).join(". ") : "");
  }
  improving = null;
  $("improve").textContent = "Improve";
};
$("prompt").oninput = () => $("prompt-note").replaceChildren();

// ---- pictures that go along

function setPictures(list) {
  pictures = list;
  $("pictures").replaceChildren(...list.map((picture) => {
    const remove = button("×", () => setPictures(pictures.filter((other) => other !== picture)));
    remove.ariaLabel = `Remove ${picture.name}`;
    return make("li", {}, make("img", { src: picture.src, alt: picture.name }), remove);
  }));
}

const takesPictures = () => modes[mode].pictureCount > 0;

function addPictures(list) {
  const { pictureCount } = modes[mode];
  const all = pictureCount > 1 ? [...pictures, ...list] : list.slice(-1);
  $("form-note").textContent = all.length > pictureCount ? `No more than ${pictureCount} pictures at once.` : "";
  setPictures(all.slice(0, pictureCount));
}

function addFiles(files) {
  const sizeMax = mode === "edit" ? FILE_MAX : INLINE_MAX;
  const isFine = (file) => /^image\/(png|jpeg|webp|gif|avif)$/.test(file.type) && file.size <= sizeMax;
  const fine = [...files].filter(isFine);
  if (fine.length > 0) addPictures(fine.map((file) => ({ name: file.name, src: URL.createObjectURL(file), file })));
  if (fine.length < files.length) $("form-note").textContent = `Only PNG, JPEG, WebP, GIF and AVIF, up to ${sizeMax >> 20} MB.`;
}
$("files").onchange = () => {
  addFiles($("files").files);
  $("files").value = ""; // choosing the same file again is a change, too
};
$("link").onchange = () => {
  const src = $("link").value.trim();
  if (src === "" || !$("link").checkValidity()) return;
  $("link").value = "";
  addPictures([{ name: src, src }]);
};
addEventListener("paste", ({ clipboardData: { files } }) => takesPictures() && files.length > 0 && addFiles(files));
for (const name of ["dragover", "dragleave", "drop"])
  addEventListener(name, (event) => {
    event.preventDefault(); // a file that misses must not replace the page
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && takesPictures()) addFiles(event.dataTransfer.files);
  });

function dataUrlOf(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Failure({ status: 400, message: "the file can no longer be read" }));
    reader.readAsDataURL(file);
  });
}

async function bodyOf({ mode, params, pictures }) {
  const [first] = pictures;
  if (mode !== "edit") return first ? { ...params, imageUrl: first.file ? await dataUrlOf(first.file) : first.src } : params;
  if (pictures.reduce((size, { file }) => size + (file?.size ?? 0), 0) > FORM_MAX) throw new Failure({ status: 413, message: "these pictures are too large together" });
  const form = new FormData();
  for (const [name, value] of Object.entries(params)) form.append(name, value);
  for (const { file, src } of pictures) form.append("image", file ?? src);
  return form;
}

// ---- jobs

function start(mode, params, pictures) {
  const job = { mode, params, pictures: modes[mode].pictureCount > 0 ? pictures : [] };
  jobs.unshift(job);
  while (jobs.length > HISTORY_MAX && jobs.at(-1).state !== "running") URL.revokeObjectURL(jobs.pop().url);
  shown = job;
  run(job);
  if ($("result").offsetTop > $("form").offsetTop) $("result").scrollIntoView();
}

async function run(job) {
  Object.assign(job, { state: "running", began: Date.now(), failure: null, abort: new AbortController() });
  redraw(job);
  try {
    job.answer ??= await carryOut(modes[job.mode].action, await bodyOf(job), job.abort.signal);
    redraw(job); // a task tells how long it will take
    const { url } = job.answer.taskId ? await finishTask(job.answer.taskId, job.abort.signal) : job.answer;
    job.file = url?.startsWith("data:") && (await fileOf(url, job));
    job.url = job.file ? URL.createObjectURL(job.file) : url;
    job.answer.url = null; // a data: address is a third larger than what it holds
    job.state = "done";
  } catch (error) {
    job.failure = error;
    job.state = error.name === "AbortError" ? "cancelled" : "failed";
  }
  job.seconds = (Date.now() - job.began) / 1000;
  redraw(job);
  $("announcer").textContent = `${modes[job.mode].label}: ${job.state}.`;
}

async function fileOf(dataUrl, { mode, answer: { seed } }) {
  const blob = await (await fetch(dataUrl)).blob();
  return new File([blob], `${mode}-${seed ?? Date.now()}.${blob.type.split("/")[1]}`, { type: blob.type });
}

// ---- how a job looks

function redraw(job) {
  job.view = null;
  if (job === shown) drawStage();
  drawHistory();
}

function drawStage() {
  if (shown) shown.view ??= { running: viewRunning, done: viewDone, failed: viewFailed, cancelled: viewCancelled }[shown.state](shown);
  $("stage").replaceChildren(shown?.view ?? viewWelcome());
  tick();
}

function viewWelcome() {
  if (models.length === 0) return viewCard("", "No model can serve now", "Whoever runs this server can give it a token, GITEE_TOKENS=… for example, or set SAMPLE_PROVIDER=on.");
  return viewCard("welcome", "Say what you would like to see.",
    "Your words go to the model that you choose, and the picture appears here. It stays in this tab: download what you like.",
    make("b", {}, "No idea yet?"), ...["A fox reading in a library, watercolour", "A quiet sea at dawn, long exposure", "A city on the back of a whale, paper cut-out"].map((idea) => button(idea, () => fillPrompt(idea))));
}

const viewCard = (className, title, text, ...more) => make("div", { className: `card ${className}` }, make("h2", {}, title), make("p", {}, text), ...more);
const asked = ({ params: { prompt } }) => prompt && make("p", { className: "asked" }, prompt);

function viewRunning(job) {
  const frame = make("div", { className: "frame" });
  frame.style.aspectRatio = (job.params.ar ?? "16:9").replace(":", "/");
  return make("div", { className: "card running" }, frame, job.answer?.predict && make("progress", { ariaLabel: "Progress" }),
    make("div", { className: "above" }, make("p", { className: "elapsed" }), button("Cancel", () => job.abort.abort())), asked(job));
}

/** Once a second, and not announced: a voice every second helps nobody. */
function tick() {
  if (shown?.state !== "running") return;
  const { share, words } = taskProgress((Date.now() - shown.began) / 1000, shown.answer?.predict);
  shown.view.querySelector(".elapsed").textContent = `${nameOf(shown.params.model)}: ${words}`;
  Object.assign(shown.view.querySelector("progress") ?? {}, { value: share });
}
setInterval(tick, 1000);

function viewDone(job) {
  const facts = note("");
  const view = make("figure", { className: "card" }, viewResult(job, facts),
    make("figcaption", {}, asked(job), facts, isSample(job.params.model) && viewHonesty(job), make("div", { className: "row" }, ...actionsOf(job))));
  writeFacts(facts, job);
  return view;
}

function viewResult(job, facts) {
  if (job.mode === "text") return make("blockquote", {}, job.answer.text);
  const onerror = () => media.replaceWith(make("p", { className: "error" }, "It cannot be shown here. ", make("a", { href: job.url, target: "_blank" }, "Open it")));
  const media = job.mode === "video"
    ? make("video", { controls: true, loop: true, autoplay: true, muted: true, src: job.url, onerror })
    : make("img", { alt: job.params.prompt ?? "The result", src: job.url, onerror, onload: () => writeFacts(facts, job, `${media.naturalWidth} × ${media.naturalHeight}`) });
  return media;
}

function writeFacts(facts, { params, answer, seconds }, size) {
  const used = ["seed", "steps", "guidance"].filter((name) => answer[name] !== undefined).map((name) => `${name} ${answer[name]}`);
  facts.textContent = [ownedName({ id: params.model }), size, ...used, duration(seconds)].filter(Boolean).join(" · ");
}

/** The sample says what it is, and where the real thing is. */
function viewHonesty(job) {
  const real = groupModels(models, job.mode).flatMap(([, members]) => members).find(({ id }) => !isSample(id));
  const tryReal = () => {
    fillForm({ ...job, params: { ...job.params, model: real.id } });
    start(mode, readForm(), pictures);
  };
  return make("p", { className: "notice" }, make("b", {}, "This is a sample. "), sampleNote, " ", real && button(`Try it with ${ownedName(real)}`, tryReal, "link"));
}

function actionsOf(job) {
  const { seed, text } = job.answer;
  if (job.mode === "text") return [button("Use as prompt", () => fillPrompt(text), "primary"), copyButton("Copy", text), settingsButton(job)];
  const save = make("a", { className: "button primary", href: job.url, target: "_blank" }, job.file ? "Download" : "Open to save");
  if (job.file) save.download = job.file.name;
  const next = job.mode === "video" ? [] : [["edit", "Edit it"], ["upscale", "Upscale it"], ["video", "Make it move"]].filter(([name]) => hasModels(name) && name !== job.mode);
  return [save, seed !== undefined && copyButton("Copy seed", seed), settingsButton(job), ...next.map(([name, title]) => button(title, () => takeAlong(job, name)))].filter(Boolean);
}

const settingsButton = (job) => button("Use these settings", () => fillForm(job));

function takeAlong({ url, file }, name) {
  setMode(name);
  setPictures([{ name: file?.name ?? url, src: url, file }]);
  $("form").scrollIntoView();
}

function copyButton(title, text) {
  const copy = button(title, async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = title), 1500);
    } catch {
      prompt("Copy this:", text); // browsers keep the clipboard for HTTPS and for this machine
    }
  });
  return copy;
}

function viewFailure(failure, modelId, ...more) {
  const words = failure instanceof Failure ? explain(failure, modelId, failure.at ??= new Date()) : ["This page has a fault", String(failure)];
  const card = viewCard("failed", ...words, ...more, failure.requestId && note(`Request ${failure.requestId}`));
  card.role = "alert";
  return card;
}

/** A task that we stopped watching is watched again, not paid for again. */
const isWatchable = (job) => job.answer?.taskId && !job.failure.isFinal;
function viewAgain(job) {
  const again = () => (isWatchable(job) ? run(job) : start(job.mode, job.params, job.pictures));
  return make("div", { className: "row" }, button(isWatchable(job) ? "Watch again" : "Try again", again, "primary"), settingsButton(job));
}
const viewFailed = (job) => viewFailure(job.failure, job.params.model, asked(job), viewAgain(job));
const viewCancelled = (job) =>
  viewCard("", "Cancelled", isWatchable(job) ? "The provider goes on; what it makes is kept for a day." : "What the provider had begun may still count.", asked(job), viewAgain(job));

function drawHistory() {
  $("history").hidden = jobs.length < 2;
  $("history").replaceChildren(...jobs.map((job) => {
    const sign = { running: "…", failed: "!", cancelled: "–", done: modes[job.mode].label }[job.state];
    const isPicture = job.url && job.mode !== "video";
    const item = button(isPicture ? make("img", { src: job.url, alt: "" }) : sign, () => {
      shown = job;
      redraw(job);
    }, job === shown ? "current" : "");
    item.title = `${modes[job.mode].label}, ${job.state}: ${job.params.prompt ?? ""}`;
    return make("li", {}, item);
  }));
}

// ---- the token

function changeToken(value) {
  setToken(value);
  $("forget").hidden = !value;
}

setTokenDialog((isWrong) => new Promise((resolve) => {
  const dialog = $("token-dialog");
  $("token").value = dialog.returnValue = "";
  $("token-error").textContent = isWrong ? "This token was not accepted." : "";
  dialog.onclose = () => {
    const given = dialog.returnValue === "given" && $("token").value.trim();
    if (given) changeToken(given);
    resolve(given);
  };
  dialog.showModal();
}));
$("forget").onclick = () => changeToken(null);
$("forget").hidden = !token();
begin();
