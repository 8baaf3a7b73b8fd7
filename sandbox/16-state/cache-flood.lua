-- attack: fills the cache for ever
-- why: it has a bound of its own
-- class: 16
-- expect: stopped
-- expect: limited

for i = 1, 1e9 do kong.cache:get('k' .. i, nil, function() return ('x'):rep(1e5) end) end
