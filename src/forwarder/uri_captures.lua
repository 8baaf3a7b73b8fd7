function()
    local captures = kong.request.get_uri_captures()
    local groups = {}
    for i = 1, #captures.unnamed do
      groups[i] = captures.unnamed[i]
    end
    return { whole = captures.unnamed[0], unnamed = groups[1] ~= nil and groups or nil, named = captures.named }
  end
