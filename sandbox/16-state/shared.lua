-- attack: reads kong.ctx.shared of the previous request
-- why: each transaction starts with an empty kong.ctx.shared
-- class: 16
-- expect: value nil

kong.ctx.shared.secret = 'x'
---- next run
return kong.ctx.shared.secret
