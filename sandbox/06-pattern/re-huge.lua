-- attack: a pattern that unfolds to millions of states
-- why: what a pattern compiles to has a bound
-- class: 6
-- expect: value "refused"

local m, why = ngx.re.match('x', '((a{100}){100}){100}')
return m == nil and why and 'refused'
