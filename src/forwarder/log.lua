-- puts what Logphase's snippets read into the log object, as _context, which Logphase never logs
local done, failure = pcall(function()
  local room = $ROOM -- bytes of all values together, without bodies
  local context, omitted = {}, {}

  -- a copy without functions, cycles and invalid UTF-8; takes its size from the room
  local function plain(value, depth)
    local kind = type(value)
    if kind == "string" then
      room = room - #value
      if room >= 0 and value:find("[\128-\255]") and not ngx.re.find(value, "^", "jou") then
        value = value:gsub("[\128-\255]", "\239\191\189")
      end
      return value
    elseif kind == "number" then
      room = room - 24
      if value == value and value ~= math.huge and value ~= -math.huge then
        return value
      end
    elseif kind == "boolean" then
      room = room - 5
      return value
    elseif kind == "table" then
      room = room - (depth < 8 and 2 or $ROOM)
      local copy, length, members = {}, #value, 0
      for _ in pairs(value) do
        members = members + 1
        if members * 4 > room then
          room = -1
          return nil
        end
      end
      for key, member in pairs(value) do
        if room < 0 then
          return nil
        end
        room = room - 4
        local is_list = members == length
        local name = is_list and key or (type(key) == "string" or type(key) == "number") and plain(tostring(key), 8)
        if name then
          copy[name] = plain(member, depth + 1)
        end
      end
      return copy
    end
  end

  local function place(value, ...)
    local at, last = context, select("#", ...)
    for i = 1, last - 1 do
      local name = select(i, ...)
      at[name] = at[name] or {}
      at = at[name]
    end
    at[select(last, ...)] = value
  end

  local function put(read, ...)
    local before = room
    local ok, value = pcall(function()
      return plain(read(), 0)
    end)
    if room < 0 then
      room = before
      omitted[#omitted + 1] = table.concat({ ... }, ".")
    elseif ok and value ~= nil then
      place(value, ...)
    end
  end
$BODIES$HEADERS$PUTS
  if #omitted > 0 then
    context.omitted = omitted
  end
  if next(context) then
    kong.log.set_serialize_value("_context", context)
  end
end)
if not done then
  kong.log.err("what Logphase's snippets read cannot be added to the log object: ", failure)
end
