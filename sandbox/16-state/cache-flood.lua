-- attack: fills the cache without end
-- why: the size of the cache is limited
-- class: 16
-- expect: stopped
-- expect: limited

for i = 1, 1e9 do kong.cache:get('k' .. i, nil, function() return ('x'):rep(1e5) end) end
