-- attack: doubles strings and catches the memory error
-- why: a script that exceeds the memory limit is stopped even if it catches the error
-- class: 8
-- expect: limited
-- expect: stopped

while true do
  pcall(function() local s = 'x' while true do s = s .. s end end)
end
