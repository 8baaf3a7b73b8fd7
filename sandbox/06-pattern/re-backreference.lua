-- attack: a back-reference over a large text
-- why: the regular expression engine checks the deadline
-- class: 6
-- expect: stopped
-- expect: value nil
-- expect: limited

return (ngx.re.find(('ab'):rep(2^19), '((?:ab)*)\\1c'))
