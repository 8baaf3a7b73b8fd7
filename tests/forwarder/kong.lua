-- As much of Kong as the printed plugins use: its sandbox, the functions that they call, its log object and http-log.
local cjson = require("cjson.safe").new()
cjson.encode_sparse_array(false)

local M = {}

-- The phases in which Kong's documentation allows a function.
local function only_in(...)
  local allowed = { ... }
  return function()
    local phase = ngx.get_phase()
    for _, name in ipairs(allowed) do
      if name == phase then
        return
      end
    end
    error("function cannot be called in " .. phase .. " phase", 3)
  end
end

local before_response = only_in("rewrite", "access")
local from_header_filter = only_in("header_filter", "body_filter", "log")
local any_phase = only_in("rewrite", "access", "header_filter", "body_filter", "log")

local function fake_kong()
  local kong = { request = {}, response = {}, service = { response = {} }, client = { tls = {} }, node = {}, log = {} }

  kong.ctx = setmetatable({}, {
    __index = function(_, name)
      ngx.ctx["kong_" .. name] = ngx.ctx["kong_" .. name] or {}
      return ngx.ctx["kong_" .. name]
    end,
  })

  function kong.request.get_header(name)
    any_phase()
    local value = ngx.req.get_headers()[name]
    return type(value) == "table" and value[1] or value
  end

  -- As from 3.8 on; as before if the client asks for it.
  function kong.request.get_raw_body(limit)
    before_response()
    if ngx.var.http_x_old_kong then
      limit = nil
    end
    ngx.req.read_body()
    local body, file = ngx.req.get_body_data(), ngx.req.get_body_file()
    if body or not file then
      return body or ""
    end
    if not limit then
      return nil, "request body did not fit into client body buffer"
    end
    local handle = assert(io.open(file, "rb"))
    body = handle:read("*a")
    handle:close()
    if #body > limit then
      return nil, "request body file too big"
    end
    return body
  end

  function kong.request.get_http_version()
    any_phase()
    return ngx.req.http_version()
  end

  function kong.request.get_uri_captures()
    any_phase()
    local unnamed, named = {}, {}
    local captures = ngx.re.match(ngx.var.uri, [[^/orders/(?<id>\d+)(/items)?]])
    for name, value in pairs(captures or {}) do
      if type(name) == "number" then
        unnamed[name] = value
      else
        named[name] = value
      end
    end
    return { unnamed = setmetatable(unnamed, cjson.array_mt), named = named }
  end

  function kong.response.get_source()
    from_header_filter()
    if ngx.ctx.exited then
      return "exit"
    end
    return tonumber(ngx.var.upstream_header_time) and "service" or "error"
  end

  function kong.service.response.get_status()
    from_header_filter()
    return tonumber((ngx.var.upstream_status or ""):match("(%d+)$"))
  end

  function kong.service.response.get_header(name)
    from_header_filter()
    return ngx.var["upstream_http_" .. name:lower():gsub("-", "_")]
  end

  function kong.client.get_credential()
    any_phase()
    return ngx.ctx.credential
  end

  function kong.client.get_consumer_groups()
    any_phase()
    return ngx.ctx.credential and { { name = "gold", id = "1" }, { name = "silver", id = "2" } }
  end

  function kong.node.get_hostname()
    return "kong-7"
  end

  function kong.log.set_serialize_value(key, value)
    assert(type(key) == "string", "key must be a string")
    local list = ngx.ctx.serialize_values or {}
    ngx.ctx.serialize_values = list
    list[#list + 1] = { key, value }
  end

  function kong.log.err(...)
    ngx.log(ngx.ERR, "SHIM: ", ...)
  end

  return kong
end

M.kong = fake_kong()

-- The globals of Kong's sandbox with untrusted_lua: sandbox.
local function sandbox_environment()
  local environment = { _VERSION = _VERSION, kong = M.kong, ngx = ngx }
  for name in
    ("assert error ipairs next pairs pcall print select tonumber tostring type unpack xpcall"):gmatch("%S+")
  do
    environment[name] = _G[name]
  end
  for library, names in pairs({
    coroutine = "create resume running status wrap yield",
    math = "abs ceil floor fmod huge max min pi random sqrt",
    os = "clock date difftime time",
    string = "byte char find format gmatch gsub len lower match rep reverse sub upper",
    table = "concat insert maxn remove sort unpack",
  }) do
    environment[library] = {}
    for name in names:gmatch("%S+") do
      environment[library][name] = _G[library][name]
    end
  end
  return environment
end

-- Runs the printed functions of one plugin in this phase.
function M.run(plugin)
  for _, source in ipairs(M.plugins[plugin] and M.plugins[plugin][ngx.get_phase()] or {}) do
    local compiled = M.compiled[source]
    if not compiled then
      compiled = assert(loadstring(source))
      setfenv(compiled, setmetatable({}, { __index = sandbox_environment() }))
      M.compiled[source] = compiled
    end
    compiled()
  end
end

function M.load(folder)
  M.folder, M.plugins, M.compiled = folder, {}, {}
  local file = assert(io.open(folder .. "/forwarder.json"))
  for _, plugin in ipairs(assert(cjson.decode(file:read("*a"))).plugins) do
    M.plugins[plugin.name] = plugin.config
  end
  file:close()
end

-- Kong's check of a value (kong/pdk/log.lua): plain, and no table twice.
local function check(value, seen)
  local kind = type(value)
  if kind == "table" then
    assert(not seen[value], "value must be a non-self-referencial table")
    seen[value] = true
    for name, member in pairs(value) do
      check(name, seen)
      check(member, seen)
    end
  else
    assert(kind == "number" or kind == "string" or kind == "boolean" or kind == "nil", "value of a bad type: " .. kind)
  end
end

local function headers_of(headers)
  local copy = {}
  for name, value in pairs(headers) do
    copy[name:lower()] = value
  end
  for _, name in ipairs({ "authorization", "proxy-authorization" }) do
    if copy[name] then
      copy[name] = "REDACTED"
    end
  end
  return copy
end

local function log_object()
  local args = ngx.req.get_uri_args()
  return {
    request = {
      id = ngx.var.request_id,
      method = ngx.req.get_method(),
      uri = ngx.var.request_uri,
      url = ngx.var.scheme .. "://" .. ngx.var.host .. ":" .. ngx.var.server_port .. ngx.var.request_uri,
      querystring = args,
      headers = headers_of(ngx.req.get_headers()),
      size = tonumber(ngx.var.request_length),
    },
    response = {
      status = ngx.status,
      headers = headers_of(ngx.resp.get_headers()),
      size = tonumber(ngx.var.bytes_sent),
    },
    latencies = { kong = 0, proxy = -1, request = tonumber(ngx.var.request_time) * 1000, receive = 0 },
    upstream_status = ngx.var.upstream_status or "",
    upstream_uri = ngx.var.request_uri,
    source = M.kong.response.get_source() == "service" and "upstream" or "kong",
    authenticated_entity = ngx.ctx.credential and { id = ngx.ctx.credential.id, consumer_id = "c1" },
    client_ip = ngx.var.remote_addr,
    started_at = ngx.req.start_time() * 1000,
    workspace_name = "default",
  }
end

-- The log object with the edits.
local function serialize(root)
  for _, entry in ipairs(ngx.ctx.serialize_values or {}) do
    local key, value = entry[1], entry[2]
    check(value, {})
    local at, rest = root, key
    while rest:find(".", 2, true) do
      local name
      name, rest = rest:match("^(.-)%.(.*)$")
      at[name] = at[name] or {}
      assert(type(at[name]) == "table", "Subkey is not a table")
      at = at[name]
    end
    at[rest] = value
  end
  return root
end

local function append(name, text)
  local file = assert(io.open(M.folder .. "/" .. name, "a"))
  file:write(text, "\n")
  file:close()
end

-- http-log: sends a batch until it is taken.
local function send(_, body, port)
  for _ = 1, 100 do
    local socket = ngx.socket.tcp()
    socket:settimeout(30000)
    if socket:connect("127.0.0.1", port) then
      socket:send("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
        .. "Content-Length: " .. #body .. "\r\n\r\n" .. body)
      local status = socket:receive("*l")
      socket:close()
      if status and status:find(" 2%d%d") then
        return
      end
      ngx.log(ngx.ERR, "SHIM: Logphase answers ", status)
    end
    ngx.sleep(0.1)
  end
end

function M.log(port)
  -- What plain http-log would send, for the test to compare with.
  local plain = cjson.encode(log_object())
  append("plain.ndjson", plain)
  M.run("pre-function")
  local sent = assert(cjson.encode(serialize(cjson.decode(plain))))
  append("sent.ndjson", sent)
  assert(ngx.timer.at(0, send, "[" .. sent .. "]", port))
end

return M
