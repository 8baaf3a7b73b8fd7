
  local function put_body(body, ...)
    local names = { ... }
    if type(body) == "table" then
      body = table.concat(body)
    end
    if body and body:find("[\128-\255]") then
      body = ngx.encode_base64(body)
      place(body, ...)
      names[#names] = names[#names] .. "_base64"
      place(true, unpack(names))
    elseif body then
      place(body, ...)
    elseif body == false then
      omitted[#omitted + 1] = table.concat(names, ".")
    end
  end
