// gradio_queue.mjs: what a Gradio app tells its own client: which components and functions it has, and
// how its calls go on in the queue. One stream of events serves all calls of a session; it ends with
// the last of them. An app here is {name, root, functions, space}: see gradio.mjs.
import { randomBytes } from "node:crypto";
import { jsonBody, problem, Refusal, within } from "./check.mjs";

const schemas = {
  Gallery: { title: "GalleryData", type: "array" },
  Image: { title: "ImageData", type: "object" },
  Number: { type: "number" },
  Textbox: { type: "string" },
  Video: { title: "VideoData", type: "object" },
};

const refuse = (status, detail) => new Refusal(status === 415 ? 422 : status, { detail });

/** GET config: components with ids, and functions that name them. */
export function describeApp({ name, root, functions }) {
  const components = [];
  const add = (component, label) => components.push({ id: components.length + 1, type: component.toLowerCase(), component_class_id: component.toLowerCase(), props: { label, name: component.toLowerCase() } });
  const dependencies = Object.entries(functions).map(([fn, [parameters, shape]], id) => ({
    id,
    targets: [],
    inputs: Object.entries(parameters).map(([label, { component }]) => add(component, label)),
    outputs: shape.components.map((component) => add(component, "result")),
    backend_fn: true,
    js: null,
    queue: true,
    api_name: fn,
    api_visibility: "public",
    types: { generator: false, cancel: false },
    connection: "sse",
  }));
  return { status: 200, body: { version: "5.49.1", api_prefix: "/gradio_api", mode: "blocks", app_id: 42, title: name, space_id: null, is_space: false, enable_queue: true, protocol: "sse_v3", connect_heartbeat: false, max_file_size: null, root, components, dependencies } };
}

/** GET info: what each function takes and gives. */
export function describeApi({ functions }) {
  const described = ([parameters, shape]) => ({
    parameters: Object.entries(parameters).map(([name, { component, type, value }]) => ({
      label: name,
      parameter_name: name,
      parameter_has_default: value !== undefined,
      parameter_default: value ?? null,
      type: schemas[component]?.type === type ? schemas[component] : { type },
      component,
    })),
    returns: shape.components.map((component) => ({ label: "result", type: schemas[component], component })),
    api_visibility: "public",
  });
  const named = Object.entries(functions).map(([fn, signature]) => [`/${fn}`, described(signature)]);
  return { status: 200, body: { named_endpoints: Object.fromEntries(named), unnamed_endpoints: {} } };
}

// ---- the queue ---------------------------------------------------------------------------------

/** POST queue/join: a call whose events the session's stream tells. */
export function joinQueue(request, world, app, admit, settle) {
  const sent = jsonBody(request, refuse);
  const body = Object.fromEntries(Object.entries(sent).filter(([name, value]) => value !== null || !["event_data", "trigger_id"].includes(name)));
  if (body.session_hash === undefined) throw refuse(400, "Session hash not found.");
  const names = Object.keys(app.functions);
  const wrong = problem(body, { data: "array", event_data: "object?", fn_index: ["int", within(0, names.length - 1)], trigger_id: "int?", session_hash: "text+" });
  if (wrong) throw refuse(422, wrong);
  const event = admit(request, world, app, names[body.fn_index], body.data);
  const id = randomBytes(16).toString("hex");
  const messages = messagesOf(world, id, settle(world, event));
  const { sessions } = app.space;
  const session = sessions.get(body.session_hash) ?? { waiting: [], stream: [] };
  sessions.set(body.session_hash, session);
  if (session.stream.length > 0) session.stream.splice(-1, 0, ...messages); // before its end
  else session.waiting.push(...messages);
  return { status: 200, body: { event_id: id } };
}

function messagesOf(world, id, { data, error }) {
  const message = (msg, more) => [null, { msg, event_id: id, ...more }];
  const progress = (index) => message("progress", { progress_data: [{ index, length: 4, unit: "steps", progress: null, desc: "Drawing" }] });
  const failed = typeof error === "object" && error !== null ? error : { error };
  return [
    message("estimation", { rank: 0, queue_size: 1, rank_eta: 3.5 }),
    message("process_starts", { eta: 3.5 }),
    ...Array(world.control.heartbeats).fill([null, { msg: "heartbeat", event_id: null }]),
    progress(1),
    progress(4),
    message("process_completed", {
      output: data ? { data, is_generating: false, duration: 0.1, average_duration: 0.1, render_config: null, changed_state_ids: [] } : failed,
      success: data !== undefined,
      title: null,
    }),
  ];
}

/** GET queue/data: the stream of a session that has calls. */
export function readQueue(request, { space }) {
  const session = space.sessions.get(request.query.get("session_hash"));
  if (!session || session.waiting.length === 0) return { status: 200, events: [[null, { msg: "unexpected_error", event_id: null, message: "404: Not Found", session_not_found: true, success: false }]] };
  session.stream = [...session.waiting, [null, { msg: "close_stream", event_id: null }]];
  session.waiting = [];
  return { status: 200, events: session.stream };
}
