-- attack: replaces each match with the whole text, repeatedly
-- why: the size of results is limited, and the deadline applies
-- class: 6
-- expect: error "longer than"
-- expect: stopped
-- expect: limited

local s = ('a'):rep(2^16)
while true do s = ngx.re.gsub(s, 'a', s) end
