-- attack: returns a table with a metatable of the host
-- why: the host reads values without metamethods
-- class: 21
-- expect: value true

local h = kong.request.get_headers()
return h['USER_AGENT'] == 'acme-shop/4.2'
