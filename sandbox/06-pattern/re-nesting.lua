-- attack: a pattern nested past any stack
-- why: the parser counts
-- class: 6
-- expect: value "refused"

local m, why = ngx.re.match('x', ('('):rep(4000) .. (')'):rep(4000))
return m == nil and why and 'refused'
