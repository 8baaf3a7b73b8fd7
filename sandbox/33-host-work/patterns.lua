-- attack: searches with many different patterns on long texts, each of which needs a table of its own
-- why: tables and cached patterns are bounded, and computing them looks at the deadline
-- class: 33
-- expect: stopped

local text = (' a'):rep(2 ^ 18)
for i = 1, 1e6 do
  text:find(('%s*%a*%s?'):rep(1 + i % 12) .. tostring(i) .. 'y')
end
