-- attack: floods the log through inspect
-- why: the number of lines per second is limited
-- class: 25
-- expect: stopped
-- expect: limited

while true do kong.log.inspect(('x\n'):rep(1000)) end
