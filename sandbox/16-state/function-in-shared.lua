-- attack: keeps a function for the next request
-- why: ngx.ctx is discarded with its transaction
-- class: 16
-- expect: value nil

ngx.ctx.evil = function() while true do end end
---- next run
return ngx.ctx.evil and ngx.ctx.evil()
