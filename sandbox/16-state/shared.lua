-- attack: kong.ctx.shared in the next request
-- why: it is made anew for each transaction
-- class: 16
-- expect: value nil

kong.ctx.shared.secret = 'x'
---- next run
return kong.ctx.shared.secret
