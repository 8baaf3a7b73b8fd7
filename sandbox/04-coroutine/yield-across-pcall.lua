-- attack: resumes a coroutine that yielded inside pcall
-- why: the stop stays set across yields
-- class: 4
-- expect: stopped

while true do
  local c = coroutine.wrap(function() pcall(coroutine.yield) while true do end end)
  c()
  pcall(c)
end
