-- attack: a pattern that expands to millions of states
-- why: the size of a compiled pattern is limited
-- class: 6
-- expect: value "refused"

local m, why = ngx.re.match('x', '((a{100}){100}){100}')
return m == nil and why and 'refused'
