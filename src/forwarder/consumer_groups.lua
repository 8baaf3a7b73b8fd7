function()
    local names = {}
    for _, group in ipairs(kong.client.get_consumer_groups() or {}) do
      names[#names + 1] = type(group) == "table" and group.name or group
    end
    return names[1] and names
  end
