-- attack: a pattern nested deeply enough to overflow a parser's stack
-- why: the parser limits the nesting depth
-- class: 6
-- expect: value "refused"

local m, why = ngx.re.match('x', ('('):rep(4000) .. (')'):rep(4000))
return m == nil and why and 'refused'
