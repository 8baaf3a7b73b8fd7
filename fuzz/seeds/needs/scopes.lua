local u = (kong.ctx.shared.user or {}).name
if ngx.var.a then return ngx.ctx[u] end