-- attack: doubles strings and catches the refusal
-- why: a script that met the memory limit is stopped whatever it catches
-- class: 8
-- expect: limited
-- expect: stopped

while true do
  pcall(function() local s = 'x' while true do s = s .. s end end)
end
