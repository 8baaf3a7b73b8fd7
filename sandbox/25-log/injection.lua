-- attack: forges log lines
-- why: control characters are escaped, and lines are truncated
-- class: 25
-- expect: value 1

print(('x\n\27[2J'):rep(1e4))
return 1
