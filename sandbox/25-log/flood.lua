-- attack: floods the log
-- why: the number of lines per second is limited
-- class: 25
-- expect: limited

for i = 1, 1000 do kong.log.err('x') end
return 1
