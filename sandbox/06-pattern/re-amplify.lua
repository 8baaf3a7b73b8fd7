-- attack: each match replaced by the whole text
-- why: results have a bound, and the deadline holds
-- class: 6
-- expect: error "longer than"
-- expect: stopped
-- expect: limited

local s = ('a'):rep(2^16)
while true do s = ngx.re.gsub(s, 'a', s) end
