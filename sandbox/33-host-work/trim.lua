-- attack: trims many long texts of blanks, with patterns for which a search without memory is quadratic
-- why: long texts are searched in linear time, and the search looks at the deadline
-- class: 33
-- expect: stopped

local text = 'x' .. (' '):rep(2 ^ 19) .. 'x'
while true do
  text:gsub('%s+$', '')
  text:match('^%s*(.-)%s*$')
  text:find('(.-)%s*(.-)%s*y')
end
