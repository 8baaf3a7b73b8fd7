-- attack: returns a table with a metatable of the host's
-- why: values are read raw
-- class: 21
-- expect: value true

local h = kong.request.get_headers()
return h['USER_AGENT'] == 'acme-shop/4.2'
