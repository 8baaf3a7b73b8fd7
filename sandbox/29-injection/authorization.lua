-- attack: reads the redacted header out of the message
-- why: the message has the word alone, in any spelling
-- class: 29
-- expect: value true

local headers = kong.log.serialize().request.headers
return headers.authorization == 'REDACTED' and headers.Authorization == 'REDACTED'
