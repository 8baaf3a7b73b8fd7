-- attack: ends the request, or answers it, in a replayed phase
-- why: the traffic is over: such calls do nothing
-- class: 28
-- expect: field /went_on true
-- settings: phase: access

kong.response.exit(500)
ngx.exit(500)
ngx.say('x')
kong.log.set_serialize_value('went_on', true)
