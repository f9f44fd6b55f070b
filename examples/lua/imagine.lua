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
yields until its end; outside of one it waits. Parameters and results are those of the HTTP API, as
tables; what fails is error(e) with e.name ("IMAGINE_EEXHAUSTED"), e.message, e.retry_after_ms. ]]
local ffi = require("ffi")

ffi.cdef [[
typedef struct imagine imagine_t;
typedef struct imagine_request imagine_request_t;
typedef struct imagine_result imagine_result_t;
typedef struct imagine_settings imagine_settings_t;
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
char *imagine_models(imagine_t *im, uint32_t flags);
]]

local lib = ffi.load(os.getenv("IMAGINE_LIBRARY") or "imagine")
local imagine, Client = {}, {}
Client.__index = Client

-- Callbacks come inside imagine_turn(), on this thread; but the compiler may not have compiled the
-- call that they come in.
local function turn(im, timeout_ms)
  return lib.imagine_turn(im, timeout_ms)
end
jit.off(turn)

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

--- options: those of imagine_open_json(), as { timeoutMs = 60000 }.
function imagine.open(settings, options)
  local out, message, all = ffi.new("imagine_t *[1]"), ffi.new("char *[1]"), { manual = true }
  for name, value in pairs(options or {}) do all[name] = value end
  local err = lib.imagine_open_json(out, encode(all), nil, nil, message)
  local why = take(message[0])
  if err ~= 0 then fail(err, why) end
  local client = setmetatable({ im = out[0], waiting = {} }, Client)
  local is_good, problem = pcall(configure, client.im, settings or {})
  if not is_good then
    client:close()
    error(problem, 0)
  end
  return client
end

--- What is in flight fails, and its coroutines with it.
function Client:close()
  if self.im == nil then return end
  local im = self.im
  self.im = nil
  lib.imagine_close(im, nil, nil)
  self:wake()
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

--- Goes on with the coroutines whose requests have ended.
function Client:wake()
  local ended = {}
  for thread, request in pairs(self.waiting) do
    if lib.imagine_request_result(request) ~= nil then ended[#ended + 1] = thread end
  end
  for _, thread in ipairs(ended) do
    self.waiting[thread] = nil
    local is_good, problem = coroutine.resume(thread)
    if not is_good then error(problem, 0) end
  end
end

--- What is due, on this thread; false: nothing is in flight.
function Client:turn(timeout_ms)
  local state = turn(self.im, timeout_ms or 0)
  if state < 0 then fail(state) end
  self:wake()
  return next(self.waiting) ~= nil
end

function Client:run()
  while next(self.waiting) ~= nil do self:turn(-1) end
end

function Client:spawn(body)
  local is_good, problem = coroutine.resume(coroutine.create(body))
  if not is_good then error(problem, 0) end
end

local function await(client, request)
  local thread = coroutine.running()
  request = ffi.gc(request, lib.imagine_request_release)
  if thread then
    client.waiting[thread] = request
    coroutine.yield()
  else
    while lib.imagine_request_result(request) == nil do client:turn(-1) end
  end
  return outcome(request)
end

--- Any action by name: the functions below, and what is new in the library.
function Client:request(action, params)
  if self.im == nil then fail(-3) end
  local json, out = encode(params), ffi.new("imagine_request_t *[1]")
  local err = lib.imagine_submit(self.im, action, json, #json, nil, nil, out)
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
  if self.im == nil then fail(-3) end
  local json, out = encode(params), ffi.new("imagine_request_t *[1]")
  local problem
  local callback = ffi.cast("void (*)(const char *, size_t, void *)", function(text, size)
    local is_good, what = pcall(on_piece, ffi.string(text, size))
    if not is_good and not problem then
      problem = { what }
      lib.imagine_cancel(out[0])
    end
  end)
  local err = lib.imagine_submit_text(self.im, json, #json, callback, nil, nil, out)
  local is_good, result = false, nil
  if err == 0 then is_good, result = pcall(await, self, out[0]) end
  callback:free()
  if problem then error(problem[1], 0) end
  if err ~= 0 then fail(err) end
  if not is_good then error(result, 0) end
end

--- Those whose provider can serve now, or all.
function Client:models(everything)
  return (decode(take(lib.imagine_models(self.im, everything and 1 or 0))))
end

return imagine
