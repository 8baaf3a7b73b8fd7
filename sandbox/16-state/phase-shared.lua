-- attack: reads what a replayed phase of the previous request has left
-- why: each transaction starts with an empty kong.ctx.shared and an empty ngx.ctx
-- class: 16
-- expect: field /kept
-- settings: phase: access

kong.ctx.shared.secret = 'x' ngx.ctx.secret = 'x'
---- next run
kong.log.set_serialize_value('kept', kong.ctx.shared.secret or ngx.ctx.secret)
