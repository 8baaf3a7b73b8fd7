for k, kong in pairs({}) do end
local ok, b = pcall(kong.request.get_header, "authorization")