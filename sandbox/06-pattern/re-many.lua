-- attack: a new pattern at every turn
-- why: compiling is bounded, and so is the cache
-- class: 6
-- expect: stopped
-- expect: limited

for i = 1, 1e9 do ngx.re.match('x', 'a{' .. (i % 60000) .. '}(b|c)*' .. i, 'jo') end
