-- attack: leaves a function for the next request
-- why: the same
-- class: 16
-- expect: value nil

ngx.ctx.evil = function() while true do end end
---- next run
return ngx.ctx.evil and ngx.ctx.evil()
