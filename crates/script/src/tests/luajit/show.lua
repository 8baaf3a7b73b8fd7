local function show(...)
  local out, cjson = {}, nil
  local function one(v, d)
    local t = type(v)
    if t == 'string' then return '"' .. (v:gsub('[%c\128-\255\\"]', function(c) return '\\' .. ('%03d'):format(c:byte()) end)) .. '"'
    elseif t == 'number' then
      if v ~= v then return 'nan' end
      if v == 1/0 then return 'inf' elseif v == -1/0 then return '-inf' end
      if v == 0 and 1/v < 0 then return '-0' end
      return ('%.17g'):format(v)
    elseif t == 'table' and d < 4 then
      local keys, parts = {}, {}
      for k in pairs(v) do keys[#keys+1] = k end
      table.sort(keys, function(a, b) if type(a) == type(b) and type(a) ~= 'boolean' then return a < b end return type(a) < type(b) end)
      for i, k in ipairs(keys) do parts[i] = one(k, d+1) .. '=' .. one(v[k], d+1) end
      return '{' .. table.concat(parts, ',') .. '}'
    elseif t == 'nil' or t == 'boolean' then return tostring(v) end
    return t
  end
  for i = 1, select('#', ...) do out[i] = one((select(i, ...)), 0) end
  return table.concat(out, ' ')
end
