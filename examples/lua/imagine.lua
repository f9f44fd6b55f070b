--[[ imagine.lua: libimagine for LuaJIT, coroutine style and without a thread. Copy it;
libimagine.so is found where the system finds libraries, or at $IMAGINE_LIBRARY.

    local imagine = require("imagine")
    local client = imagine.open({ STATE_FILE = ":memory:" })      -- settings, before the environment's
    client:spawn(function()
      local result = client:generate({ model = "sample/waves", prompt = "a quiet sea" })
      print(result.url:sub(1, 60))
    end)
    client:run()                                                  -- until every coroutine has ended
    client:close()

A game calls client:turn() once a frame instead of client:run(). Inside a coroutine each action
yields until its end, or until client:cancel() of that coroutine; outside of one it waits. Parameters
and results are those of the HTTP API, as tables; what fails is error(e) with e.name
("IMAGINE_EEXHAUSTED"), e.message, e.retry_after_ms.

A provider in Lua is a table with a name, perhaps `catalogue` and `tokenOptional`, and a function for
each action that it has. It runs as a coroutine that waits for nothing but the call's own steps,
call:http(), call:events() and call:sleep(), and returns what came of it:

    local mine = {
      name = "mine",
      catalogue = { api_base = "https://api.example.com", models = { { key = "one", type = { "text2image" } } } },
      generate = function(call)
        local answer = call:http(call:url("/draw"), { json = { prompt = call.params.prompt } })
        return { url = answer:json().url }
      end,
      text = function(call)
        for event in call:events(call:url("/tell"), { json = { prompt = call.params.prompt } }) do
          call:delta(event:json().piece)
        end
        return {}
      end,
    }
    local client = imagine.open({}, { providers = { mine } }) ]]
local ffi = require("ffi")

ffi.cdef [[
typedef struct imagine imagine_t;
typedef struct imagine_request imagine_request_t;
typedef struct imagine_result imagine_result_t;
typedef struct imagine_settings imagine_settings_t;
typedef struct imagine_call imagine_call_t;
typedef struct imagine_http_response imagine_http_response_t;
int imagine_open_json(imagine_t **out, const char *json, void *log, void *user, char **message);
void imagine_close(imagine_t *im, void *closed, void *user);
void imagine_free(void *pointer);
int imagine_turn(imagine_t *im, int64_t timeout_ms);
int imagine_settings_open(imagine_settings_t **out);
void imagine_settings_close(imagine_settings_t *settings);
int imagine_settings_set(imagine_settings_t *settings, const char *name, const char *value);
int imagine_settings_read_env(imagine_settings_t *settings);
int imagine_settings_read_file(imagine_settings_t *settings, const char *path);
const char *imagine_settings_message(const imagine_settings_t *settings);
int imagine_configure(imagine_t *im, const imagine_settings_t *settings, char **message);
int imagine_submit(imagine_t *im, const char *action, const char *json, size_t size, void *done, void *user, imagine_request_t **out);
int imagine_submit_text(imagine_t *im, const char *json, size_t size, void (*on_piece)(const char *, size_t, void *), void *done, void *user, imagine_request_t **out);
void imagine_cancel(imagine_request_t *request);
void imagine_request_release(imagine_request_t *request);
const imagine_result_t *imagine_request_result(const imagine_request_t *request);
const char *imagine_result_json(const imagine_result_t *result, size_t *size);
int imagine_result_status(const imagine_result_t *result);
const char *imagine_result_message(const imagine_result_t *result);
uint64_t imagine_result_retry_after_ms(const imagine_result_t *result);
const char *imagine_err_name(int error);
const char *imagine_strerror(int error);
int imagine_set_catalogue(imagine_t *im, const char *json, size_t size, char **message);
char *imagine_models(imagine_t *im, uint32_t flags);
char *imagine_token_details(imagine_t *im, const char *provider);
int imagine_register_json(imagine_t *im, const char *json, void (*run)(imagine_call_t *), void *user);
const char *imagine_call_action(const imagine_call_t *call);
const char *imagine_call_model(const imagine_call_t *call);
const char *imagine_call_token(const imagine_call_t *call);
const char *imagine_call_params_json(imagine_call_t *call);
const char *imagine_call_url(imagine_call_t *call, const char *path);
void *imagine_call_user(const imagine_call_t *call);
int imagine_call_defer(imagine_call_t *call, void (*gone)(void *), void *user);
void imagine_call_http_json(imagine_call_t *call, const char *json, void (*on_response)(imagine_call_t *, const imagine_http_response_t *));
void imagine_call_events_json(imagine_call_t *call, const char *json, void (*on_event)(imagine_call_t *, const char *, const imagine_http_response_t *), void (*on_response)(imagine_call_t *, const imagine_http_response_t *));
int32_t imagine_call_wants_pieces(const imagine_call_t *call);
void imagine_call_delta(imagine_call_t *call, const char *text, size_t size);
void imagine_call_sleep(imagine_call_t *call, uint64_t delay_ms, void (*next)(imagine_call_t *));
void imagine_call_succeed_json(imagine_call_t *call, const char *json);
void imagine_call_fail(imagine_call_t *call, int error, const char *message);
int imagine_response_status(const imagine_http_response_t *response);
const char *imagine_response_body(const imagine_http_response_t *response, size_t *size);
const char *imagine_response_header(const imagine_http_response_t *response, const char *name);
]]

local lib = ffi.load(os.getenv("IMAGINE_LIBRARY") or "libimagine.so.0") -- the name that programs load it by: libimagine.so is for linkers
local imagine, Client = {}, {}
Client.__index = Client

-- Callbacks come inside these two, on this thread; but the compiler may not have compiled the call
-- that they come in.
local function turn(im, timeout_ms)
  return lib.imagine_turn(im, timeout_ms)
end
local function close(im)
  lib.imagine_close(im, nil, nil)
end
jit.off(turn)
jit.off(close)

---- JSON: as much of it as the library reads and writes ---------------------------------------------

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function encode(value)
  local kind = type(value)
  if kind == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
  elseif kind == "number" then
    return value == math.floor(value) and ("%.0f"):format(value) or ("%.17g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "table" then
    error("a " .. kind .. " cannot be a parameter")
  end
  local parts = {}
  if #value > 0 then
    for i, item in ipairs(value) do parts[i] = encode(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do parts[#parts + 1] = encode(tostring(key)) .. ":" .. encode(item) end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64) end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64, 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local decode

local function decode_text(text, at)
  local parts, from = {}, at + 1
  while true do
    local to = text:find('["\\]', from)
    parts[#parts + 1] = text:sub(from, to - 1)
    if text:byte(to) == 0x22 then return table.concat(parts), to + 1 end
    local kind = text:sub(to + 1, to + 1)
    from = to + 2
    if kind == "u" then
      local code = tonumber(text:sub(from, from + 3), 16)
      from = from + 4
      if code >= 0xD800 and code < 0xDC00 and text:sub(from, from + 1) == "\\u" then
        code = 0x10000 + (code - 0xD800) * 1024 + tonumber(text:sub(from + 2, from + 5), 16) - 0xDC00
        from = from + 6
      end
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = unescapes[kind] or kind
    end
  end
end

local function decode_many(text, at, close, read)
  at = text:find("%S", at + 1)
  while text:sub(at, at) ~= close do
    at = text:find("%S", read(at))
    if text:sub(at, at) == "," then at = text:find("%S", at + 1) end
  end
  return at + 1
end

function decode(text, at)
  at = text:find("%S", at or 1)
  local first, result = text:sub(at, at), {}
  if first == '"' then return decode_text(text, at) end
  if first == "{" then
    return result, decode_many(text, at, "}", function(place)
      local key
      key, place = decode_text(text, place)
      result[key], place = decode(text, text:find(":", place, true) + 1)
      return place
    end)
  elseif first == "[" then
    return result, decode_many(text, at, "]", function(place)
      result[#result + 1], place = decode(text, place)
      return place
    end)
  end
  local word = text:match("^[%w+.-]+", at)
  if word == "true" or word == "false" then return word == "true", at + #word end
  return tonumber(word), at + #word -- null: nil
end

---- errors ------------------------------------------------------------------------------------------

--- Name to number, as in imagine.h: imagine.errors.ECANCELED.
imagine.errors = {}
for number = -1, -1000, -1 do
  local name = ffi.string(lib.imagine_err_name(number))
  if name == "IMAGINE_EUNKNOWN" then break end
  imagine.errors[name:gsub("^IMAGINE_", "")] = number
end

local Error = { __tostring = function(e) return e.name .. ": " .. e.message end }

local function fail(number, message, retry_after_ms)
  error(setmetatable({ number = number, name = ffi.string(lib.imagine_err_name(number)), message = message or ffi.string(lib.imagine_strerror(number)), retry_after_ms = retry_after_ms or 0 }, Error), 0)
end

local function take(pointer) -- a text that is ours to free
  if pointer == nil then return nil end
  local text = ffi.string(pointer)
  lib.imagine_free(pointer)
  return text
end

---- providers ---------------------------------------------------------------------------------------

local providers, provider_count = {}, 0 -- number: provider; the library calls back with the number
local running = {} -- address of a call: its coroutine
local Call, Answer, Event = {}, {}, {}
Call.__index, Answer.__index, Event.__index = Call, Answer, Event

local function address(pointer) return tonumber(ffi.cast("uintptr_t", pointer)) end
local function text_of(pointer) return pointer ~= nil and ffi.string(pointer) or nil end

local Refused = {}

--- In a provider: imagine.refuse("EQUOTA", "…") ends the attempt, and the next token tries.
function imagine.refuse(name, message)
  error(setmetatable({ number = imagine.errors[name], message = message }, Refused), 0)
end

-- The coroutine takes its next step, or ends the call.
local function go_on(pointer, value)
  local thread = running[address(pointer)]
  local is_good, step = coroutine.resume(thread, value)
  if not is_good then
    local is_refused = getmetatable(step) == Refused
    lib.imagine_call_fail(pointer, is_refused and step.number or imagine.errors.EPROTOCOL, is_refused and step.message or "the provider failed: " .. tostring(step))
  elseif coroutine.status(thread) == "dead" then
    local is_text, json = pcall(encode, step or {})
    lib.imagine_call_succeed_json(pointer, is_text and json or "")
  elseif type(step) == "function" then
    step()
  else
    lib.imagine_call_fail(pointer, imagine.errors.EPROTOCOL, "the provider waited for what is no step of its call")
  end
end

-- Callbacks are few and for ever: LuaJIT has a limited number of them.
local on_slept = ffi.cast("void (*)(imagine_call_t *)", function(pointer) go_on(pointer) end)
local on_gone = ffi.cast("void (*)(void *)", function(pointer) running[address(pointer)] = nil end)
local function body_of(response)
  local size = ffi.new("size_t[1]")
  local body = lib.imagine_response_body(response, size)
  return ffi.string(body, size[0])
end
local on_response = ffi.cast("void (*)(imagine_call_t *, const imagine_http_response_t *)", function(pointer, response)
  go_on(pointer, setmetatable({ status = lib.imagine_response_status(response), type = text_of(lib.imagine_response_header(response, "content-type")), body = body_of(response) }, Answer))
end)
local on_event = ffi.cast("void (*)(imagine_call_t *, const char *, const imagine_http_response_t *)", function(pointer, name, response)
  go_on(pointer, setmetatable({ name = text_of(name) or "", data = body_of(response) }, Event))
end)
local on_action = ffi.cast("void (*)(imagine_call_t *)", function(pointer)
  local provider, action = providers[address(lib.imagine_call_user(pointer))], ffi.string(lib.imagine_call_action(pointer))
  if lib.imagine_call_defer(pointer, on_gone, pointer) ~= 0 then return lib.imagine_call_fail(pointer, imagine.errors.ENOMEM, nil) end
  running[address(pointer)] = coroutine.create(provider[action])
  go_on(pointer, setmetatable({
    pointer = pointer,
    action = action,
    model = ffi.string(lib.imagine_call_model(pointer)),
    token = text_of(lib.imagine_call_token(pointer)),
    params = decode(ffi.string(lib.imagine_call_params_json(pointer))),
  }, Call))
end)

local function request_json(url, request)
  local all = { url = url }
  for name, value in pairs(request or {}) do all[name] = value end
  return encode(all)
end

function Call:url(path) return ffi.string(lib.imagine_call_url(self.pointer, path)) end

--- Step: asks, and gives an answer: status, type, body, answer:json(). More of `request`: see
--- imagine_call_http_json() in imagine/ffi.h.
function Call:http(url, request)
  local json = request_json(url, request)
  return coroutine.yield(function() lib.imagine_call_http_json(self.pointer, json, on_response) end)
end

--- Asks for a stream of server-sent events: for event in call:events(url, request) do … end, with
--- event.name, event.data, event:json(). Who breaks off leaves it with the next step.
function Call:events(url, request)
  local json = request_json(url, request)
  local function begin() lib.imagine_call_events_json(self.pointer, json, on_event, on_response) end
  local function go_on_listening() end
  local step = begin
  return function()
    local value = coroutine.yield(step)
    step = go_on_listening
    if getmetatable(value) == Event then return value end
    self.answer = value -- after the stream, or because it is none
  end
end

--- Somebody reads the text as it comes: ask the provider to stream, and pass it on.
function Call:wants_pieces() return lib.imagine_call_wants_pieces(self.pointer) ~= 0 end

--- A piece of the text. Then return {} in the end.
function Call:delta(text) lib.imagine_call_delta(self.pointer, text, #text) end

--- Step.
function Call:sleep(ms)
  coroutine.yield(function() lib.imagine_call_sleep(self.pointer, ms, on_slept) end)
end

function Answer:json() return (decode(self.body)) end
function Event:json() return (decode(self.data)) end

local function register(client, provider)
  local actions = {}
  for _, action in ipairs({ "generate", "edit", "text", "video", "upscaler" }) do
    if provider[action] then actions[#actions + 1] = action end
  end
  provider_count = provider_count + 1
  providers[provider_count] = provider
  client.providers[#client.providers + 1] = provider_count
  local json = encode({ name = provider.name, actions = actions, tokenOptional = provider.tokenOptional })
  local err = lib.imagine_register_json(client.im, json, on_action, ffi.cast("void *", provider_count))
  if err ~= 0 then fail(err) end
  if provider.catalogue then -- by itself: so that what is wrong with it is told
    local entry, message = encode({ providers = { [provider.name] = provider.catalogue } }), ffi.new("char *[1]")
    err = lib.imagine_set_catalogue(client.im, entry, #entry, message)
    local why = take(message[0])
    if err ~= 0 then fail(err, why) end
  end
end

---- the client --------------------------------------------------------------------------------------

local function configure(im, settings)
  local out, message = ffi.new("imagine_settings_t *[1]"), ffi.new("char *[1]")
  local err, why = lib.imagine_settings_open(out), nil
  if err ~= 0 then fail(err) end
  for name, value in pairs(settings) do
    if err == 0 then err = lib.imagine_settings_set(out[0], name, tostring(value)) end
  end
  if err == 0 then err = lib.imagine_settings_read_env(out[0]) end
  if err == 0 then err = lib.imagine_settings_read_file(out[0], nil) end
  if err ~= 0 then
    why = ffi.string(lib.imagine_settings_message(out[0]))
  else
    err = lib.imagine_configure(im, out[0], message)
    why = take(message[0])
  end
  lib.imagine_settings_close(out[0])
  if err ~= 0 then fail(err, why) end
end

--- options: those of imagine_open_json(), as { timeoutMs = 60000 }, and providers.
function imagine.open(settings, options)
  local out, message, all = ffi.new("imagine_t *[1]"), ffi.new("char *[1]"), { manual = true }
  for name, value in pairs(options or {}) do all[name] = name ~= "providers" and value or nil end
  local err = lib.imagine_open_json(out, encode(all), nil, nil, message)
  local why = take(message[0])
  if err ~= 0 then fail(err, why) end
  local client = setmetatable({ im = out[0], waiting = {}, providers = {} }, Client)
  local is_good, problem = pcall(function()
    for _, provider in ipairs(options and options.providers or {}) do register(client, provider) end
    configure(client.im, settings or {})
  end)
  if not is_good then
    client:close()
    error(problem, 0)
  end
  return client
end

local function handle(client) -- NULL, once it is closed, is not for the library
  if client.im == nil then fail(imagine.errors.ECLOSED) end
  return client.im
end

--- What is in flight fails, and its coroutines with it.
function Client:close()
  if self.im == nil then return end
  local im = self.im
  self.im = nil
  close(im)
  for _, number in ipairs(self.providers) do providers[number] = nil end
  self:wake(true)
end

local function outcome(request)
  local result, size = lib.imagine_request_result(request), ffi.new("size_t[1]")
  local status = lib.imagine_result_status(result)
  if status ~= 0 then
    local message = lib.imagine_result_message(result)
    fail(status, message ~= nil and ffi.string(message) or nil, tonumber(lib.imagine_result_retry_after_ms(result)))
  end
  local json = lib.imagine_result_json(result, size)
  if json == nil then fail(-2) end
  return (decode(ffi.string(json, size[0])))
end

--- Goes on with the coroutines whose requests have ended: with all of them, whichever fails. That a
--- coroutine ends by the close is no news to who closes.
function Client:wake(is_closing)
  local ended, first = {}, nil
  for thread, request in pairs(self.waiting) do
    if lib.imagine_request_result(request) ~= nil then ended[#ended + 1] = thread end
  end
  for _, thread in ipairs(ended) do
    self.waiting[thread] = nil
    local is_good, problem = coroutine.resume(thread)
    local is_expected = is_good or is_closing and getmetatable(problem) == Error and problem.number == imagine.errors.ECANCELED
    if not is_expected and not first then first = { problem } end
  end
  if first then error(first[1], 0) end
end

--- What is due, on this thread; false: nothing is in flight.
function Client:turn(timeout_ms)
  local state = turn(handle(self), timeout_ms or 0)
  if state < 0 then fail(state) end
  self:wake()
  return next(self.waiting) ~= nil
end

function Client:run()
  while next(self.waiting) ~= nil do self:turn(-1) end
end

--- The coroutine, for client:cancel().
function Client:spawn(body)
  local thread = coroutine.create(body)
  local is_good, problem = coroutine.resume(thread)
  if not is_good then error(problem, 0) end
  return thread
end

--- What this coroutine waits for fails with IMAGINE_ECANCELED, in a later turn; harmless where it
--- waits for nothing.
function Client:cancel(thread)
  if self.waiting[thread] then lib.imagine_cancel(self.waiting[thread]) end
end

local function await(client, request)
  local thread, is_main = coroutine.running() -- the second where LuaJIT is built like Lua 5.2
  request = ffi.gc(request, lib.imagine_request_release)
  if thread and not is_main then
    client.waiting[thread] = request
    coroutine.yield()
  else
    while lib.imagine_request_result(request) == nil do client:turn(-1) end
  end
  return outcome(request)
end

--- Any action by name: the functions below, and what is new in the library.
function Client:request(action, params)
  local im = handle(self)
  local json, out = encode(params), ffi.new("imagine_request_t *[1]")
  local err = lib.imagine_submit(im, action, json, #json, nil, nil, out)
  if err ~= 0 then fail(err) end
  return await(self, out[0])
end

for name, action in pairs({ generate = "generate", edit = "edit", text = "text", video = "video", upscale = "upscaler" }) do
  Client[name] = function(self, params) return self:request(action, params) end
end
function Client:task_status(task_id) return self:request("task-status", { taskId = task_id }) end
function Client:task_cancel(task_id) return self:request("task-cancel", { taskId = task_id }) end

--- on_piece(text) for each piece of a text as it comes. It may not yield.
function Client:stream(params, on_piece)
  local im = handle(self)
  local json, out = encode(params), ffi.new("imagine_request_t *[1]")
  local problem
  local callback = ffi.cast("void (*)(const char *, size_t, void *)", function(text, size)
    local is_good, what = pcall(on_piece, ffi.string(text, size))
    if not is_good and not problem then
      problem = { what }
      lib.imagine_cancel(out[0])
    end
  end)
  local err = lib.imagine_submit_text(im, json, #json, callback, nil, nil, out)
  local is_good, result = false, nil
  if err == 0 then is_good, result = pcall(await, self, out[0]) end
  callback:free()
  if problem then error(problem[1], 0) end
  if err ~= 0 then fail(err) end
  if not is_good then error(result, 0) end
end

--- Those whose provider can serve now, or all.
function Client:models(everything)
  return (decode(take(lib.imagine_models(handle(self), everything and 1 or 0)) or fail(imagine.errors.ENOMEM)))
end

function Client:tokens(provider)
  return (decode(take(lib.imagine_token_details(handle(self), provider)) or fail(imagine.errors.EPROVIDER)))
end

return imagine
