-- attack: forges lines of the log
-- why: control characters are escaped, lines are cut
-- class: 25
-- expect: value 1

print(('x\n\27[2J'):rep(1e4))
return 1
