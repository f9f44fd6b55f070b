/* imagine.mjs: libimagine for Node 20 with koffi 3 (npm install koffi). Copy it; libimagine.so is
 * found where the system finds libraries, or at $IMAGINE_LIBRARY.
 *
 *     import { Client } from "./imagine.mjs";
 *
 *     const client = new Client(); // GITEE_TOKENS=a,b and friends
 *     const { url } = await client.generate({ model: "sample/waves", prompt: "a quiet sea" }, { signal: AbortSignal.timeout(60000) });
 *     console.log(url.slice(0, 60));
 *     for await (const piece of client.stream({ model: "gitee/qwen-3", prompt: "a cat" })) process.stdout.write(piece);
 *     await client.close();
 *
 * Parameters and results are those of the HTTP API; what fails rejects with an ImagineError. A
 * provider in JavaScript: see Client.
 *
 * How it runs: no thread of the library ("manual"), so that all callbacks come on this one, inside
 * imagine_turn(). That is due when a descriptor is readable, which Node cannot watch: while something
 * is in flight, one thread of Node's pool (UV_THREADPOOL_SIZE) waits for it, for all clients of the
 * process. When nothing is in flight nobody waits, and the process may end. */
import koffi from "koffi";

const STREAM_PIECES_MAX = 64; // that wait for a slow reader, before the provider is held back
const WAIT_MAX_MS = 5000; // of the pool's thread at a time: Node joins it where it ends without an exit event
const PARKED_MS = 24 * 60 * 60 * 1000; // longer than any request: its own deadline comes first
const TIMER_MAX_MS = 0x7fffffff; // of setTimeout()

// ---- the library -------------------------------------------------------------------------------

// deep: Node exports its own copies of libuv and OpenSSL, which the library is not to be given.
const library = koffi.load(process.env.IMAGINE_LIBRARY ?? "libimagine.so.0", { deep: true });
// Names of types are koffi's, for the whole program.
koffi.proto("void ImagineOnDone(int status, void *result, uintptr_t number)");
koffi.proto("void ImagineOnPiece(void *text, size_t size, uintptr_t number)");
koffi.proto("void ImagineOnLog(int32_t level, const char *line, void *user)");
koffi.proto("void ImagineOnStep(void *call)");
koffi.proto("void ImagineOnResponse(void *call, void *response)");
koffi.proto("void ImagineOnEvent(void *call, const char *name, void *response)");
const free = library.func("void imagine_free(void *pointer)");
koffi.alias("ImagineText", koffi.disposable("str", free)); // a text that is ours to free

const c = {};
for (const declaration of [
  "int imagine_open_json(_Out_ void **out, const char *json, ImagineOnLog *log, void *user, _Out_ void **message)",
  "void imagine_close(void *im, void *closed, void *user)",
  "int imagine_turn(void *im, int64_t timeout_ms)",
  "int imagine_turn_fd(void *im)",
  "int imagine_turn_wait_ms(void *im)",
  "int imagine_turn_wake(void *im)",
  "int imagine_turn_await(const int32_t *fds, size_t count, int64_t timeout_ms)",
  "int imagine_settings_open(_Out_ void **out)",
  "void imagine_settings_close(void *settings)",
  "int imagine_settings_set(void *settings, const char *name, const char *value)",
  "int imagine_settings_read_env(void *settings)",
  "int imagine_settings_read_file(void *settings, const char *path)",
  "const char *imagine_settings_message(void *settings)",
  "int imagine_configure(void *im, void *settings, _Out_ void **message)",
  "int imagine_submit(void *im, const char *action, const void *json, size_t size, ImagineOnDone *done, uintptr_t number, _Out_ void **out)",
  "int imagine_submit_text(void *im, const void *json, size_t size, ImagineOnPiece *piece, ImagineOnDone *done, uintptr_t number, _Out_ void **out)",
  "void imagine_cancel(void *request)",
  "void imagine_pause(void *request, int32_t is_paused)",
  "void imagine_request_release(void *request)",
  "void *imagine_result_json(void *result, _Out_ size_t *size)",
  "const char *imagine_result_message(void *result)",
  "const char *imagine_result_task_id(void *result)",
  "int imagine_result_http_status(void *result)",
  "uint64_t imagine_result_retry_after_ms(void *result)",
  "const char *imagine_err_name(int error)",
  "const char *imagine_strerror(int error)",
  "int imagine_set_catalogue(void *im, const void *json, size_t size, _Out_ void **message)",
  "ImagineText imagine_models(void *im, uint32_t flags)",
  "ImagineText imagine_token_details(void *im, const char *provider)",
  "int imagine_register_json(void *im, const char *json, ImagineOnStep *run, uintptr_t number)",
  "const char *imagine_call_action(void *call)",
  "const char *imagine_call_model(void *call)",
  "const char *imagine_call_token(void *call)",
  "const char *imagine_call_params_json(void *call)",
  "const char *imagine_call_url(void *call, const char *path)",
  "uintptr_t imagine_call_user(void *call)",
  "int imagine_call_defer(void *call, ImagineOnStep *gone, void *call)",
  "void imagine_call_http_json(void *call, const void *json, ImagineOnResponse *on_response)",
  "void imagine_call_events_json(void *call, const void *json, ImagineOnEvent *on_event, ImagineOnResponse *on_response)",
  "int32_t imagine_call_wants_pieces(void *call)",
  "void imagine_call_delta(void *call, const void *text, size_t size)",
  "void imagine_call_sleep(void *call, uint64_t delay_ms, ImagineOnStep *next)",
  "void imagine_call_succeed_json(void *call, const void *json)",
  "void imagine_call_fail(void *call, int error, const char *message)",
  "int imagine_response_status(void *response)",
  "void *imagine_response_body(void *response, _Out_ size_t *size)",
  "const char *imagine_response_header(void *response, const char *name)",
])
  c[/imagine_(\w+)\(/.exec(declaration)[1]] = library.func(declaration);

/** Name to number, as in imagine.h: errors.ECANCELED. */
export const errors = {};
for (let number = -1; c.err_name(number) !== "IMAGINE_EUNKNOWN"; number--) errors[c.err_name(number).replace("IMAGINE_", "")] = number;

/** Why there is no result: code ("IMAGINE_EEXHAUSTED"), number, httpStatus, retryAfterMs (0: not
 * known), taskId (of work that goes on without you). */
export class ImagineError extends Error {
  name = "ImagineError";
  constructor(number, message, details) {
    super(message ?? c.strerror(number));
    Object.assign(this, { code: c.err_name(number), number, httpStatus: 0, retryAfterMs: 0, taskId: null }, details);
  }
}

function check(number, message) {
  if (number !== 0) throw new ImagineError(number, message);
}

/** What an out parameter for a text of ours was given. */
function take([pointer]) {
  if (pointer === null) return undefined;
  const text = koffi.decode.string(pointer);
  free(pointer);
  return text;
}

/** JSON, or that error where there is none. */
function parse(text, number) {
  if (text === null) throw new ImagineError(number);
  return JSON.parse(text);
}

const zeroTerminated = (value) => Buffer.from(`${JSON.stringify(value)}\0`); // not copied once more, as a text would be

// ---- turning: when, and who waits for it -------------------------------------------------------

const busy = new Set(); // clients with something in flight
let watched = null; // those whose descriptors the pool's thread waits for; null: it does not
let isTelling = false; // them that it did

function watch() {
  if (isTelling) return;
  if (watched === null) {
    if (busy.size > 0) wait();
  } else if (busy.size === 0 || [...busy].some((client) => !watched.has(client))) wake();
}

function wake() {
  for (const client of watched ?? []) {
    c.turn_wake(client._im);
    return; // one is enough: they wait together
  }
}

function wait() {
  watched = new Set(busy);
  const fds = Int32Array.from(watched, (client) => client._fd);
  c.turn_await.async(fds, fds.length, WAIT_MAX_MS, () => {
    isTelling = true;
    for (const client of watched) client._waited();
    isTelling = false;
    watched = null;
    watch();
  });
}

process.on("exit", wake); // Node joins its pool's threads

// ---- requests: what the library calls back with is a number, never an object -------------------

let lastNumber = 0;
const waiting = new Map(); // number: {onDone(error, result), onPiece(text), request}
const providers = new Map(); // number: {provider, client}
const calls = new Map(); // address: Call

/** Nothing may be thrown through the library; what a caller's function throws is his program's. */
const register = (type, run) =>
  koffi.register((...given) => {
    try {
      run(...given);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }, `${type} *`);

function outcomeOf(status, result) {
  if (status !== 0) return [new ImagineError(status, c.result_message(result), { httpStatus: c.result_http_status(result), retryAfterMs: Number(c.result_retry_after_ms(result)), taskId: c.result_task_id(result) })];
  const size = [0];
  const json = c.result_json(result, size);
  return json === null ? [new ImagineError(errors.ENOMEM)] : [null, JSON.parse(koffi.decode.string(json, size[0]))];
}

const onDone = register("ImagineOnDone", (status, result, number) => {
  const entry = waiting.get(Number(number));
  waiting.delete(Number(number));
  const outcome = outcomeOf(status, result);
  c.request_release(entry.request);
  entry.onDone(...outcome);
});
const onPiece = register("ImagineOnPiece", (text, size, number) => waiting.get(Number(number)).onPiece(koffi.decode.string(text, size)));

/**
 * settings: names and values of the README's table ({GITEE_TOKENS: "a,b"}), before those of the
 * environment and of .env files, which are read unless `env` is false. log: a function of (level,
 * line). All else: the options of imagine_open_json(), as timeoutMs.
 *
 * providers: objects with a name, perhaps `catalogue` and `tokenOptional`, and a function for each
 * action that they have. It may await whatever it likes, and returns what came of it:
 *
 *     const mine = {
 *       name: "mine",
 *       catalogue: { api_base: "https://api.example.com", models: [{ key: "one", type: ["text2image"] }] },
 *       async generate(call) {
 *         const answer = await call.http(call.url("/draw"), { json: { prompt: call.params.prompt } });
 *         return { url: answer.json().url };
 *       },
 *       async text(call) {
 *         for await (const event of call.events(call.url("/tell"), { json: { prompt: call.params.prompt } })) call.delta(event.json().piece);
 *         return {};
 *       },
 *     };
 *     const client = new Client({ providers: [mine] });
 */
export class Client {
  _im = null;
  _fd = -1;
  #log = null;
  #numbers = [];
  #immediate = null;
  #timer = null;
  #closing = null; // {promise, resolve}

  constructor({ settings = {}, env = true, log, providers: given = [], ...options } = {}) {
    const out = [null], message = [null];
    if (log) this.#log = register("ImagineOnLog", (level, line) => log(level, line));
    try {
      const err = c.open_json(out, JSON.stringify({ ...options, manual: true }), this.#log, null, message);
      check(err, take(message));
      this._im = out[0];
      this._fd = c.turn_fd(this._im);
      for (const provider of given) this.#register(provider);
      this.#configure(settings, env);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #register(provider) {
    const { name, catalogue, tokenOptional } = provider;
    const number = ++lastNumber;
    const actions = ["generate", "edit", "text", "video", "upscaler"].filter((action) => typeof provider[action] === "function");
    providers.set(number, { provider, client: this });
    this.#numbers.push(number);
    check(c.register_json(this._im, JSON.stringify({ name, actions, tokenOptional }), onAction, number));
    if (!catalogue) return;
    const entry = Buffer.from(JSON.stringify({ providers: { [name]: catalogue } })), message = [null]; // by itself: so that what is wrong with it is told
    const err = c.set_catalogue(this._im, entry, entry.length, message);
    check(err, take(message));
  }

  #configure(settings, env) {
    const out = [null], message = [null];
    check(c.settings_open(out));
    const [handle] = out;
    try {
      const set = (err) => check(err, err === 0 ? undefined : c.settings_message(handle));
      for (const [name, value] of Object.entries(settings)) set(c.settings_set(handle, name, String(value)));
      if (env) set(c.settings_read_env(handle) || c.settings_read_file(handle, null));
      const err = c.configure(this._im, handle, message);
      check(err, take(message));
    } finally {
      c.settings_close(handle);
    }
  }

  /** Requests in flight reject with IMAGINE_ECANCELED; fulfilled when all is gone. */
  close() {
    if (this.#closing === null) {
      this.#closing = {};
      this.#closing.promise = new Promise((resolve) => (this.#closing.resolve = resolve));
      busy.delete(this);
      if (watched?.has(this)) wake();
      else setImmediate(() => this.#end()); // not inside a callback of the library
    }
    return this.#closing.promise;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  #end() {
    const im = this._im;
    busy.delete(this);
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this._im = null;
    if (im !== null) c.close(im, null, null);
    for (const number of this.#numbers) providers.delete(number);
    if (this.#log !== null) koffi.unregister(this.#log);
    this.#closing?.resolve();
  }

  /** The pool's thread does not wait for our descriptor any more. */
  _waited() {
    if (this.#closing !== null) this.#end();
    else this.#turn();
  }

  /** What was started begins in the next turn, which comes as soon as this callback has returned. */
  _soon() {
    if (this.#closing !== null) return;
    this.#immediate ??= setImmediate(() => this.#turn());
    this.#immediate.ref();
  }

  #turn() {
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this.#immediate = this.#timer = null;
    const isBusy = c.turn(this._im, 0) === 1;
    const waitMs = c.turn_wait_ms(this._im);
    if (this.#closing !== null) return; // by a callback
    if (waitMs === 0) this._soon();
    else if (waitMs > 0) this.#timer = setTimeout(() => this.#turn(), Math.min(waitMs, TIMER_MAX_MS));
    if (!isBusy) for (const one of [this.#immediate, this.#timer]) one?.unref();
    if (isBusy) busy.add(this);
    else busy.delete(this);
    watch();
  }

  #checkOpen() {
    if (this._im === null || this.#closing !== null) throw new ImagineError(errors.ECLOSED);
  }

  #start(action, params, entry) {
    this.#checkOpen();
    const json = Buffer.from(JSON.stringify(params)), out = [null], number = ++lastNumber;
    waiting.set(number, entry);
    const err = entry.onPiece ? c.submit_text(this._im, json, json.length, onPiece, onDone, number, out) : c.submit(this._im, action, json, json.length, onDone, number, out);
    if (err !== 0) waiting.delete(number);
    check(err);
    entry.request = out[0];
    this._soon();
    return number;
  }

  /** Harmless after the end. */
  #cancel(number) {
    if (!waiting.has(number)) return;
    c.cancel(waiting.get(number).request);
    this._soon();
  }

  /** Any action by name: the functions below, and what is new in the library. */
  async request(action, params = {}, { signal } = {}) {
    signal?.throwIfAborted();
    return await new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#cancel(number);
        reject(signal.reason);
      };
      const number = this.#start(action, params, {
        onDone(error, result) {
          signal?.removeEventListener("abort", onAbort);
          if (error) reject(error);
          else resolve(result);
        },
      });
      signal?.addEventListener("abort", onAbort);
    });
  }

  generate(params, options) {
    return this.request("generate", params, options);
  }
  edit(params, options) {
    return this.request("edit", params, options);
  }
  text(params, options) {
    return this.request("text", params, options);
  }
  video(params, options) {
    return this.request("video", params, options);
  }
  upscale(params, options) {
    return this.request("upscaler", params, options);
  }
  taskStatus(taskId, options) {
    return this.request("task-status", { taskId }, options);
  }
  taskCancel(taskId, options) {
    return this.request("task-cancel", { taskId }, options);
  }

  /** The pieces of a text as they come. A reader that is slow holds the provider back; one that
   * leaves ends the request. */
  async *stream(params, { signal } = {}) {
    const pieces = [];
    let outcome, goOn = () => {}, isPaused = false;
    signal?.throwIfAborted();
    const entry = {
      onPiece: (piece) => (pieces.push(piece), goOn()),
      onDone: (error) => ((outcome = { error }), goOn()),
    };
    const number = this.#start("text", params, entry);
    const onAbort = () => (this.#cancel(number), goOn());
    signal?.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (isPaused !== pieces.length > STREAM_PIECES_MAX && !outcome) {
          isPaused = !isPaused;
          c.pause(entry.request, isPaused ? 1 : 0);
          this._soon();
        }
        if (pieces.length > 0) yield pieces.shift();
        else if (outcome?.error) throw outcome.error;
        else if (outcome) return;
        else await new Promise((resolve) => (goOn = resolve));
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#cancel(number);
    }
  }

  /** Those whose provider can serve now, or all. */
  models(everything = false) {
    this.#checkOpen();
    return parse(c.models(this._im, everything ? 1 : 0), errors.ENOMEM);
  }

  tokens(provider) {
    this.#checkOpen();
    return parse(c.token_details(this._im, provider), errors.EPROVIDER);
  }
}

// ---- providers ---------------------------------------------------------------------------------

/** Throw it in a provider: new Refused(errors.EQUOTA, "…"), and the next token tries. */
export class Refused extends Error {
  constructor(number, message) {
    super(message);
    this.number = number;
  }
}

function bodyOf(response) {
  const size = [0];
  const body = c.response_body(response, size);
  return Buffer.from(new Uint8Array(koffi.view(body, size[0]))); // a copy: the answer goes
}

class Answer {
  constructor(response) {
    this.status = c.response_status(response);
    this.type = c.response_header(response, "content-type");
    this.body = bodyOf(response);
  }
  json() {
    return JSON.parse(this.body.toString());
  }
}

/** Of a stream: name ("" where it has none), data (a string), json(). */
class Event {
  constructor(name, response) {
    this.name = name ?? "";
    this.data = bodyOf(response).toString();
  }
  json() {
    return JSON.parse(this.data);
  }
}

/** One attempt with one token. What it awaits is a step of the library, or anything else: then the
 * call sleeps meanwhile, and is woken for what comes next. */
class Call {
  #pointer;
  #client;
  #isInside = false; // the library waits for us to say what comes next
  #next = null; // that, as a function
  #settle = null; // of the step under way
  #onEvent = null; // while it is a stream
  #controller = new AbortController();

  constructor(pointer, client) {
    this.#pointer = pointer;
    this.#client = client;
    this.action = c.call_action(pointer);
    this.model = c.call_model(pointer);
    this.token = c.call_token(pointer);
    this.params = JSON.parse(c.call_params_json(pointer));
    /** Somebody reads the text as it comes: ask the provider to stream, and pass it on. */
    this.wantsPieces = c.call_wants_pieces(pointer) !== 0;
  }

  /** Aborted when nobody wants the result any more: for what you await beside the steps. */
  get signal() {
    return this.#controller.signal;
  }

  url(path) {
    this.signal.throwIfAborted();
    return c.call_url(this.#pointer, path);
  }

  /** Step: asks, and gives an Answer: status, type, body (a Buffer), json(). More of `request`: see
   * imagine_call_http_json() in imagine/ffi.h. */
  http(url, request = {}) {
    const json = zeroTerminated({ url, ...request });
    return this.#step(() => c.call_http_json(this.#pointer, json, onResponse));
  }

  /** Asks for a stream of server-sent events: for await (const event of call.events(url, request)).
   * Then call.answer is what http() gives, also where it is no stream. Who breaks off leaves it. */
  async *events(url, request = {}) {
    const json = zeroTerminated({ url, ...request });
    const waiting = [];
    let ended = null; // an Answer or an error
    let goOn = () => {};
    const end = (what) => goOn((ended = what));
    this.#onEvent = (event) => goOn(waiting.push(event));
    this.#step(() => c.call_events_json(this.#pointer, json, onEvent, onResponse)).then(end, end);
    try {
      for (;;) {
        this.signal.throwIfAborted();
        if (waiting.length > 0) yield waiting.shift();
        else if (ended instanceof Answer) return void (this.answer = ended);
        else if (ended) throw ended;
        else await new Promise((resolve) => (goOn = resolve));
      }
    } finally {
      this.#onEvent = null;
      if (!ended && !this.signal.aborted) this.#leave();
    }
  }

  /** A piece of the text. Then return {} in the end. */
  delta(text) {
    this.signal.throwIfAborted();
    const piece = Buffer.from(text);
    c.call_delta(this.#pointer, piece, piece.length);
  }

  /** Step. */
  sleep(ms) {
    return this.#step(() => c.call_sleep(this.#pointer, Math.ceil(ms), onSlept));
  }

  #step(begin) {
    return new Promise((resolve, reject) => {
      this.signal.throwIfAborted();
      if (this.#settle !== null) throw new Error("one step at a time");
      this.#settle = { resolve, reject };
      this.#decide(begin);
    });
  }

  /** The stream under way, whatever comes next. */
  #leave() {
    this.#settle = null;
    c.call_sleep(this.#pointer, PARKED_MS, onWoken);
    this.#client._soon();
  }

  #decide(next) {
    this.#next = next;
    if (this.#isInside) return;
    c.call_sleep(this.#pointer, 0, onWoken);
    this.#client._soon();
  }

  /** The library asks what comes next, with the value of the step that has ended. */
  _inside(run) {
    this.#isInside = true;
    run();
    this.#isInside = false;
    const next = this.#next ?? (() => c.call_sleep(this.#pointer, PARKED_MS, onWoken));
    this.#next = null;
    next();
  }

  _goOn(value) {
    const { resolve } = this.#settle;
    this.#settle = null;
    this._inside(() => resolve(value));
  }

  _event(event) {
    this.#onEvent?.(event);
  }

  async _run(provider) {
    try {
      const result = zeroTerminated((await provider[this.action](this)) ?? null);
      if (!this.signal.aborted) this.#decide(() => c.call_succeed_json(this.#pointer, result));
    } catch (error) {
      const [number, message] = error instanceof Refused ? [error.number, error.message] : [errors.EPROTOCOL, `the provider failed: ${error}`];
      if (!this.signal.aborted) this.#decide(() => c.call_fail(this.#pointer, number, message));
    }
  }

  _gone() {
    this.#controller.abort();
    this.#settle?.reject(this.signal.reason);
  }
}

const onGone = register("ImagineOnStep", (pointer) => {
  calls.get(pointer)?._gone();
  calls.delete(pointer);
});
const onSlept = register("ImagineOnStep", (pointer) => calls.get(pointer)._goOn());
const onWoken = register("ImagineOnStep", (pointer) => calls.get(pointer)._inside(() => {}));
const onResponse = register("ImagineOnResponse", (pointer, response) => calls.get(pointer)._goOn(new Answer(response)));
const onEvent = register("ImagineOnEvent", (pointer, name, response) => calls.get(pointer)._event(new Event(name, response)));
const onAction = register("ImagineOnStep", (pointer) => {
  const { provider, client } = providers.get(Number(c.call_user(pointer)));
  if (c.call_defer(pointer, onGone, pointer) !== 0) return c.call_fail(pointer, errors.ENOMEM, null);
  const call = new Call(pointer, client);
  calls.set(pointer, call);
  call._inside(() => void call._run(provider));
});
