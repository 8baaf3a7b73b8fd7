-- attack: calls host functions with arguments of every type
-- why: host functions return or raise an error, and never panic
-- class: 27
-- expect: value true

local odd = {0 / 0, math.huge, -math.huge, 2 ^ 63, -1, '', '\0', {}, print, true}
for _, module in next, {kong.request, kong.response, kong.client, kong.log, kong.router} do
  for _, f in next, module do
    for _, value in next, odd do pcall(f, value, value, value) end
  end
end
return true
