-- attack: logs without end, so that another plugin's lines and its own errors are lost
-- why: each plugin has an allowance of log lines, and errors have one of their own
-- class: 34
-- expect: stopped

while true do
  kong.log.info('noise')
  kong.log.err('noise')
end
