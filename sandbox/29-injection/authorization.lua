-- attack: brings a redacted header into the message
-- why: what is set by hand is what the snippets themselves may see, as in Kong
-- class: 29
-- expect: value true

kong.log.set_serialize_value('request.headers.x', 'y')
return true
