-- attack: compiles a new pattern at every iteration
-- why: compilation and the pattern cache are limited
-- class: 6
-- expect: stopped
-- expect: limited

for i = 1, 1e9 do ngx.re.match('x', 'a{' .. (i % 60000) .. '}(b|c)*' .. i, 'jo') end
