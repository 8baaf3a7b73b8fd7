-- attack: reads kong.ctx.plugin of another plugin
-- why: each plugin has its own kong.ctx.plugin
-- class: 16
-- expect: value nil

kong.ctx.plugin.secret = 'x'
---- next plugin
return kong.ctx.plugin.secret
