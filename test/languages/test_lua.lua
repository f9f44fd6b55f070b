-- test_lua.lua: examples/lua/imagine.lua against the stand-in, whose settings are in the environment:
-- run by test/e2e/languages.test.mjs. Prints how many tests have passed.
local imagine = require("imagine")
local cat = { model = "gitee/z-image-turbo", prompt = "a cat" }
local passed = 0

local function test(name, body, providers)
  local client = imagine.open({ STATE_FILE = ":memory:", GITEE_TOKENS = "t1,t2", PICKY_TOKENS = "spent,t1", SAMPLE_PROVIDER = "on" }, { providers = providers })
  local is_good, problem = pcall(body, client)
  client:close()
  if not is_good then
    io.stderr:write(name, ": ", tostring(problem), "\n")
    os.exit(1)
  end
  passed = passed + 1
end

local function fails(body, name)
  local is_good, e = pcall(body)
  assert(not is_good, "it did not fail")
  assert(type(e) == "table" and e.name == name, tostring(e))
  return e
end

test("a picture, without a coroutine", function(client)
  local result = client:generate({ model = cat.model, prompt = 'a "cat"\n\\ \1 é', seed = 7 })
  assert(result.url:match("^http"), result.url)
  assert(result.seed == 7)
end)

test("many coroutines at once", function(client)
  local seeds, count = {}, 0
  for i = 1, 16 do
    client:spawn(function()
      local result = client:generate(cat)
      assert(result.url)
      seeds[result.seed], count = true, count + 1
    end)
  end
  assert(count == 0, "nothing happens before it turns")
  client:run()
  assert(count == 16)
end)

test("a game's frames", function(client)
  local result, frames = nil, 0
  client:spawn(function() result = client:generate({ model = "sample/waves", prompt = "x", width = 64, height = 64 }) end)
  repeat frames = frames + 1 until not client:turn(1)
  assert(result.url:match("^data:image/png;base64,") and result.width == 64)
end)

test("what fails is an error", function(client)
  assert(fails(function() client:generate({ prompt = "" }) end, "IMAGINE_EINVAL").message:match("prompt"))
  fails(function() client:generate({ model = "nobody/x", prompt = "x" }) end, "IMAGINE_EPROVIDER")
  fails(function() client:tokens("nobody") end, "IMAGINE_EPROVIDER")
  local bad = { name = "bad", catalogue = { models = { { key = "one", type = { "picture" } } } }, generate = print }
  assert(fails(function() imagine.open({}, { providers = { bad } }) end, "IMAGINE_EINVAL").message:match("models%[key one%]"))
  assert(fails(function() imagine.open({ PORT = "many" }) end, "IMAGINE_EINVAL").message:match("PORT"))
  assert(fails(function() imagine.open({}, { colour = "red" }) end, "IMAGINE_EINVAL").message:match("colour"))
end)

test("closing fails what is in flight", function(client)
  local e
  client:spawn(function()
    local _, problem = pcall(client.generate, client, cat)
    e = problem
  end)
  client:close()
  assert(e.name == "IMAGINE_ECANCELED", tostring(e))
  fails(function() client:generate(cat) end, "IMAGINE_ECLOSED")
  for _, name in ipairs({ "turn", "models", "tokens" }) do
    fails(function() client[name](client, 0) end, "IMAGINE_ECLOSED")
  end
end)

test("a coroutine that is cancelled fails alone", function(client)
  local e, other
  local thread = client:spawn(function() e = select(2, pcall(client.generate, client, cat)) end)
  client:spawn(function() other = client:generate(cat) end)
  client:cancel(thread)
  client:run()
  assert(e.name == "IMAGINE_ECANCELED" and other.url, tostring(e))
  client:cancel(thread)
end)

test("closing ends every coroutine, and is no failure of its own", function(client)
  local ended = 0
  for _ = 1, 3 do
    client:spawn(function()
      local _, problem = pcall(client.generate, client, cat)
      ended = ended + 1
      error(problem, 0)
    end)
  end
  client:close()
  assert(ended == 3, ended)
end)

test("one coroutine's failure leaves the others", function(client)
  local ended, problems = 0, 0
  for _ = 1, 3 do
    client:spawn(function()
      pcall(client.generate, client, { prompt = "" })
      ended = ended + 1
      error("mine", 0)
    end)
  end
  repeat
    local is_good, problem = pcall(client.run, client)
    assert(is_good or problem == "mine", tostring(problem))
    if not is_good then problems = problems + 1 end
  until is_good
  assert(ended == 3 and problems > 0)
end)

test("a text comes in pieces", function(client)
  local pieces = {}
  client:stream({ model = "gitee/qwen-3", prompt = "a cat" }, function(piece) pieces[#pieces + 1] = piece end)
  assert(#pieces > 1)
  client:spawn(function()
    local whole = client:text({ model = "gitee/qwen-3", prompt = "a cat" }).text
    assert(table.concat(pieces):match("^%s*(.-)%s*$") == whole, whole)
  end)
  client:run()
  local is_good, problem = pcall(client.stream, client, { model = "gitee/qwen-3", prompt = "a cat" }, function() error("enough", 0) end)
  assert(not is_good and problem == "enough", tostring(problem))
end)

test("models", function(client)
  local all = client:models(true)
  assert(#all > 50 and all[1].id and #client:models() < #all)
end)

test("two thousand requests leave nothing", function(client)
  for round = 1, 20 do
    for _ = 1, 100 do
      client:spawn(function() client:generate({ model = "sample/waves", prompt = "x", width = 16, height = 16 }) end)
    end
    client:run()
    collectgarbage()
  end
  assert(next(client.waiting) == nil)
end)

local seen = {}
local picky = {
  name = "picky",
  catalogue = { api_base = os.getenv("GITEE_API_BASE"), models = { { key = "z-image-turbo", type = { "text2image" } } } },
  generate = function(call)
    seen[#seen + 1] = call.token
    call:sleep(10)
    if call.params.prompt == "broken" then error("nobody expected that") end
    if call.params.prompt == "nothing" then return nil end
    if call.params.prompt == "odd" then coroutine.yield("odd") end
    if call.token == "spent" then imagine.refuse("EQUOTA", "nothing left") end
    local answer = call:http(call:url("/images/generations"), { json = { model = call.model, prompt = call.params.prompt, seed = call.params.seed, width = 1024, height = 1024, num_inference_steps = 9, response_format = "url" } })
    assert(answer.status == 200 and answer.type == "application/json")
    return { url = answer:json().data[1].url }
  end,
}

test("a provider in Lua", function(client)
  assert(client:generate({ model = "picky/z-image-turbo", prompt = "a cat" }).url:match("^http"))
  assert(table.concat(seen, " ") == "spent t1", table.concat(seen, " "))
  local tokens = client:tokens("picky")
  assert(tokens[1].state == "exhausted" and tokens[2].state == "active")
  assert(fails(function() client:generate({ model = "picky/z-image-turbo", prompt = "broken" }) end, "IMAGINE_EPROTOCOL").message:match("nobody expected that"))
  for _, prompt in ipairs({ "nothing", "odd" }) do
    fails(function() client:generate({ model = "picky/z-image-turbo", prompt = prompt }) end, "IMAGINE_EPROTOCOL")
  end
  for i = 1, 10 do
    client:spawn(function() assert(client:generate({ model = "picky/z-image-turbo", prompt = "number " .. i }).url) end)
  end
  client:run()
end, { picky })

local answers = {}
local teller = {
  name = "teller",
  tokenOptional = true,
  catalogue = { api_base = os.getenv("GITEE_API_BASE"), models = { { key = "qwen-3", type = { "text2text" } } } },
  text = function(call)
    local prompt = call.params.prompt
    local url = call:url("/chat/completions")
    local function ask(is_stream)
      return { json = { model = "x-one", messages = { { role = "user", content = prompt } }, stream = is_stream }, headers = { Authorization = "Bearer t1" }, auth = "none" }
    end
    if not call:wants_pieces() then return { text = call:http(url, ask(false)):json().choices[1].message.content } end
    for event in call:events(url, ask(prompt ~= "no stream")) do
      if event.data == "[DONE]" or prompt == "break" then break end
      call:delta(event:json().choices[1].delta.content or "")
    end
    answers[#answers + 1] = call.answer and call.answer.type or "none"
    if prompt == "break" then
      call:sleep(1)
      call:delta("enough")
    end
    if call.answer then call:delta(tostring(call.answer.status)) end
    return {}
  end,
}

test("a provider in Lua that streams", function(client)
  local function told(prompt)
    local pieces = {}
    client:stream({ model = "teller/qwen-3", prompt = prompt }, function(piece) pieces[#pieces + 1] = piece end)
    return table.concat(pieces)
  end
  local whole = client:text({ model = "teller/qwen-3", prompt = "a cat é" }).text
  assert(whole:match("a cat é"), whole)
  assert(told("a cat é") == whole)
  assert(told("break") == "enough")
  assert(told("no stream") == "200")
  assert(table.concat(answers, " ") == "none none application/json", table.concat(answers, " "))
end, { teller })

local instant = {
  name = "instant",
  tokenOptional = true,
  catalogue = { models = { { key = "one", type = { "text2image" } } } },
  generate = function(call)
    if call.params.seed % 2 == 0 then call:sleep(0) end
    return { url = "data:,x", width = call.params.width }
  end,
}

test("ten thousand requests to a provider in Lua leave nothing", function(client)
  local function some(count)
    for _ = 1, count / 100 do
      for _ = 1, 100 do
        client:spawn(function() assert(client:generate({ model = "instant/one", prompt = "x" }).url == "data:,x") end)
      end
      client:run()
    end
    collectgarbage()
    local pages = io.open("/proc/self/statm"):read("*a"):match("^%d+ (%d+)")
    return tonumber(pages) * 4096
  end
  local before = some(4000)
  local grown = some(10000) - before
  assert(grown < 4 * 1024 * 1024, grown)
end, { instant })

test("closing ends what a provider awaits", function(client)
  local e
  client:spawn(function()
    local _, problem = pcall(client.generate, client, { model = "slow/one", prompt = "x" })
    e = problem
  end)
  client:turn(10)
  client:close()
  assert(e.name == "IMAGINE_ECANCELED", tostring(e))
end, { { name = "slow", tokenOptional = true, catalogue = instant.catalogue, generate = function(call) call:sleep(60000) end } })

print(passed .. " tests passed")
