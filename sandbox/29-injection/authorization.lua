-- attack: reads a redacted header from the message
-- why: the message contains only the replacement, under any spelling of the name
-- class: 29
-- expect: value true

local headers = kong.log.serialize().request.headers
return headers.authorization == 'REDACTED' and headers.Authorization == 'REDACTED'
