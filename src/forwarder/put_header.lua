
  local function put_header(name)
    local value = kong.request.get_header(name)
    if value and #value <= $ROOM then
      kong.log.set_serialize_value("request.headers." .. name, plain(value, 0))
    end
  end
