-- attack: floods the log through inspect
-- why: lines have a bound for each second
-- class: 25
-- expect: stopped
-- expect: limited

while true do kong.log.inspect(('x\n'):rep(1000)) end
