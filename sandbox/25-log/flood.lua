-- attack: fills the log
-- why: lines per second are limited
-- class: 25
-- expect: limited

for i = 1, 1000 do kong.log.err('x') end
return 1
